"""Listens for connections of this machine at a unix socket that only this user can connect to."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from ..accepting import NO_DESCRIPTOR_PAUSE
from .binding import bind_abstract, bind_at, remove_socket
from .sockets import LocalStream

__all__ = ["LocalListener", "private_name"]

SOCKET_NAME = "link.sock"
MAX_SILENT = 16
"""Connections that may be open and have said nothing; of more the oldest is closed."""


def private_name(made: ExitStack) -> str:
    """A new name to listen at, which no other process can have: in a directory that only this user can enter.

    Args:
        made: removes the directory.
    """
    import tempfile

    directory = tempfile.mkdtemp(prefix="plugmux-")
    made.callback(shutil.rmtree, directory, ignore_errors=True)
    return os.path.join(directory, SOCKET_NAME)


class LocalListener:
    """A listening unix socket. Make it with `open`."""

    def __init__(self, sock: socket.socket, path: Path | None) -> None:
        self._socket = sock
        self._path = path
        self._file = None if path is None else path.lstat()

    @classmethod
    async def open(cls, name: str, backlog: int) -> Self:
        """Begin to listen; the socket of a runtime that has died is replaced.

        Args:
            name: the socket's path, or its abstract name behind a zero byte.
            backlog: connections that may wait; the kernel has a bound of its own.

        Raises:
            ListenError: somebody listens there already, or another user could interfere.
            OSError: the socket cannot be made.
        """
        if name.startswith("\0"):
            return cls(bind_abstract(name, backlog), None)
        path = Path(name)
        return cls(await bind_at(path, backlog), path)

    async def accept(self) -> LocalStream:
        """Wait for a connection. Where this is cancelled, none is lost.

        Raises:
            OSError: the system gives none, as a rule because no descriptor is free.
        """
        while True:
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                await _readable(self._socket)
            else:
                connection.setblocking(False)
                return connection

    async def first_to_speak(self) -> LocalStream:
        """Wait for a connection that says something; one that does not was a look whether somebody listens."""
        return await _Silent(self._socket).first_to_speak()

    def descriptors(self) -> list[int]:
        """The descriptor of the listening socket."""
        return [] if self._socket.fileno() < 0 else [self._socket.fileno()]

    def close(self) -> None:
        """Stop listening, and remove the socket's file, unless another stands in its place. It may be repeated."""
        if self._path is not None and self._file is not None:
            remove_socket(self._path, self._file)
            self._file = None
        self._socket.close()


async def _readable(sock: socket.socket) -> None:
    """Wait until there is a connection to accept."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)


class _Silent:
    """Connections that have said nothing yet. One that ends so was a look whether somebody listens, and no plugin.

    Args:
        listener: the listening socket, which does not block.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._silent: list[socket.socket] = []
        self._pause: asyncio.TimerHandle | None = None
        self._spoke: asyncio.Future[socket.socket] = self._loop.create_future()

    async def first_to_speak(self) -> socket.socket:
        """The first connection that has said something; the others are closed."""
        self._begin()
        try:
            return await self._spoke
        except asyncio.CancelledError:
            if not self._spoke.cancelled():
                self._spoke.result().close()
            raise
        finally:
            self._loop.remove_reader(self._listener)
            if self._pause is not None:
                self._pause.cancel()
            for connection in tuple(self._silent):
                self._close(connection)

    def _begin(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # No descriptor is free, as a rule: the connection waits in the backlog until one is.
            self._loop.remove_reader(self._listener)
            self._pause = self._loop.call_later(NO_DESCRIPTOR_PAUSE, self._begin)
            return
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
