"""A unix socket of one plugin's own: what connects to it is that plugin, and the connection is the link."""

from __future__ import annotations

import asyncio
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from .listener import bind_privately, prepare

if TYPE_CHECKING:
    from ...link.link import Link

__all__ = ["LinkSocket"]

SOCKET_NAME = "link.sock"


class LinkSocket:
    """Listens for the one connection of a plugin that can inherit none; it is gone as soon as that has come.

    Args:
        path: where; by default in a new directory that only this user can enter.

    Attributes:
        path: where it listens.

    Raises:
        OSError: the socket cannot be made.
        ListenError: somebody listens there already.
    """

    def __init__(self, path: Path | None = None) -> None:
        import tempfile

        self._task: asyncio.Task[None] | None = None
        with ExitStack() as made:  # Of what stands at the path, only what this has put there is removed, and once.
            if path is None:
                path = Path(tempfile.mkdtemp(prefix="plugmux-"), SOCKET_NAME)
                made.callback(shutil.rmtree, path.parent, ignore_errors=True)
            self.path = path
            self._socket = made.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            prepare(path)
            bind_privately(self._socket, path)
            made.callback(path.unlink, missing_ok=True)
            self._socket.listen(1)
            self._socket.setblocking(False)
            self._made = made.pop_all()

    def accept(self, link: Link) -> None:
        """Let the first that connects be the other end of a link; returns at once."""
        self._task = asyncio.create_task(self._accept(link), name=f"plugmux: accept a plugin at {self.path}")

    async def _accept(self, link: Link) -> None:
        connection, _ = await asyncio.get_running_loop().sock_accept(self._socket)
        self._made.close()  # At once: a runtime that is killed leaves nothing then.
        await link.over_socket(connection)

    async def close(self) -> None:
        """Listen no more, and remove the socket; harmless where that has been done. It may be cancelled at will."""
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
        finally:
            self._made.close()
