"""A unix socket of one plugin's own: what connects to it and says something is that plugin, over that connection."""

from __future__ import annotations

import asyncio
import shutil
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ...aio.forks import lose_in_children
from ...platform import bind_at, remove_socket

if TYPE_CHECKING:
    from ...link.link import Link

__all__ = ["LinkSocket"]

SOCKET_NAME = "link.sock"

MAX_SILENT = 16
"""Connections that may be open and have said nothing; of more the oldest is closed."""


class LinkSocket:
    """Listens for the one connection of a plugin that can inherit none; it is gone as soon as that has come.

    Make it with `open`.

    Attributes:
        path: where it listens.
    """

    def __init__(self, path: Path, sock: socket.socket, made: ExitStack) -> None:
        self.path = path
        self._socket = sock
        lose_in_children(self)
        self._made = made
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path | None = None) -> Self:
        """Begin to listen.

        Args:
            path: where; by default in a new directory that only this user can enter.

        Raises:
            OSError: the socket cannot be made.
            ListenError: somebody listens there already, or another user could put its own socket in its place.
        """
        import tempfile

        with ExitStack() as made:  # Of what stands at the path, only what this has put there is removed, and once.
            if path is None:
                path = Path(tempfile.mkdtemp(prefix="plugmux-"), SOCKET_NAME)
                made.callback(shutil.rmtree, path.parent, ignore_errors=True)
            sock = made.enter_context(await bind_at(path, MAX_SILENT))
            made.callback(remove_socket, path, path.lstat())
            return cls(path, sock, made.pop_all())

    def accept(self, link: Link) -> None:
        """Let the first that connects and says something be the other end of a link; returns at once."""
        self._task = asyncio.create_task(self._accept(link), name=f"plugmux: accept a plugin at {self.path}")

    async def _accept(self, link: Link) -> None:
        connection = await _Silent(self._socket).first_to_speak()
        self._made.close()  # At once: a runtime that is killed leaves nothing then.
        await link.over_socket(connection)

    def descriptors(self) -> list[int]:
        """The descriptor of the listening socket."""
        return [self._socket.fileno()]

    async def close(self) -> None:
        """Listen no more, and remove the socket; harmless where that has been done. It may be cancelled at will."""
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
        finally:
            self._made.close()


class _Silent:
    """Connections that have said nothing yet. One that ends so was a look whether somebody listens, and no plugin.

    Args:
        listener: the listening socket, which does not block.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._silent: list[socket.socket] = []
        self._spoke: asyncio.Future[socket.socket] = self._loop.create_future()

    async def first_to_speak(self) -> socket.socket:
        """The first connection that has said something; the others are closed."""
        self._loop.add_reader(self._listener, self._accept)
        try:
            return await self._spoke
        except asyncio.CancelledError:
            if not self._spoke.cancelled():
                self._spoke.result().close()
            raise
        finally:
            self._loop.remove_reader(self._listener)
            for connection in tuple(self._silent):
                self._close(connection)

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            self._silent.append(connection)
            self._loop.add_reader(connection, self._look, connection)
            if len(self._silent) > MAX_SILENT:
                self._close(self._silent[0])

    def _look(self, connection: socket.socket) -> None:
        try:
            said = connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._close(connection)
        elif not self._spoke.done():
            self._forget(connection)
            self._spoke.set_result(connection)

    def _forget(self, connection: socket.socket) -> None:
        self._loop.remove_reader(connection)
        self._silent.remove(connection)

    def _close(self, connection: socket.socket) -> None:
        self._forget(connection)
        connection.close()
