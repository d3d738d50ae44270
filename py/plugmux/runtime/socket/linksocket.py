"""A socket of one plugin's own: what connects to it and says something is that plugin, over that connection."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ...aio.forks import lose_in_children
from ...platform import LocalListener, private_name

if TYPE_CHECKING:
    from ...link.link import Link

__all__ = ["LinkSocket"]

MAX_WAITING = 16
"""Connections that may wait to be accepted."""


class LinkSocket:
    """Listens for the one connection of a plugin that can inherit none; it is gone as soon as that has come.

    Make it with `open`.

    Attributes:
        path: where it listens: the path of a unix socket, or of a named pipe.
    """

    def __init__(self, path: Path, listener: LocalListener, made: ExitStack) -> None:
        self.path = path
        self._listener = listener
        lose_in_children(self)
        self._made = made
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path | None = None) -> Self:
        """Begin to listen.

        Args:
            path: where; by default at a new place that only this user can reach.

        Raises:
            OSError: the socket cannot be made.
            ListenError: somebody listens there already, or another user could put its own socket in its place.
        """
        with ExitStack() as made:  # Of what stands at the path, only what this has put there is removed, and once.
            name = private_name(made) if path is None else str(path)
            listener = await LocalListener.open(name, MAX_WAITING)
            made.callback(listener.close)
            return cls(Path(name), listener, made.pop_all())

    def accept(self, link: Link) -> None:
        """Let the first that connects and says something be the other end of a link; returns at once."""
        self._task = asyncio.create_task(self._accept(link), name=f"plugmux: accept a plugin at {self.path}")

    async def _accept(self, link: Link) -> None:
        connection = await self._listener.first_to_speak()
        self._made.close()  # At once: a runtime that is killed leaves nothing then.
        await link.over_socket(connection)

    def descriptors(self) -> list[int]:
        """The descriptor of the listening socket."""
        return self._listener.descriptors()

    async def close(self) -> None:
        """Listen no more, and remove the socket; harmless where that has been done. It may be cancelled at will."""
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
        finally:
            self._made.close()
