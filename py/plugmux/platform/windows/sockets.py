"""Connections: named pipes, and who is at their other ends; those that come from the network."""

from __future__ import annotations

import ctypes
import socket
import time
from asyncio import windows_utils
from collections.abc import Callable
from ctypes import wintypes
from typing import TYPE_CHECKING, Any, TypeAlias

from ..accepting import accept_waiting
from ..interface import BlockingPipes, Credentials
from .native.blocking import DuplexPipe
from .native.kernel import kernel32, open_handle
from .native.loop import waits_for_pipes
from .users import user_of_process

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "LocalStream",
    "PipeStream",
    "ReadWatch",
    "accept_some",
    "attach_stream",
    "blocking_pipes",
    "connect_stream",
    "credentials",
    "own_port",
    "probe_stream",
]

READ_AND_WRITE = 0xC000_0000
OPEN_EXISTING = 3
OVERLAPPED_AND_ANONYMOUS = 0x4000_0000 | 0x0010_0000
"""FILE_FLAG_OVERLAPPED, SECURITY_SQOS_PRESENT, SECURITY_ANONYMOUS: the server cannot act as this user."""

PIPE_BUSY = 231
BUSY_PAUSE = 0.01
"""Seconds between two attempts to connect while all instances of a pipe are taken."""


class PipeStream(windows_utils.PipeHandle):
    """One end of a connection over a named pipe.

    Args:
        handle: the handle, overlapped.
        serves: whether this is the server's end.
    """

    def __init__(self, handle: int, *, serves: bool) -> None:
        super().__init__(handle)
        self.serves = serves

    def fileno(self) -> int:
        """The handle; -1 when it has been closed."""
        return -1 if self.handle is None else self.handle


LocalStream: TypeAlias = PipeStream | socket.socket
"""A connection within this machine; sockets are those of tests, over the loopback interface."""


async def connect_stream(name: str) -> LocalStream:
    """Connect to a named pipe.

    Args:
        name: its path.

    Raises:
        OSError: no process has a pipe of that name, or it lets this user not connect.

    While all its instances are taken, this waits without limit: the caller sets a timeout.
    """
    import asyncio  # here, since the command line looks for a runtime without an event loop

    while True:
        try:
            return _open(name)
        except OSError as error:
            if error.winerror != PIPE_BUSY:
                raise
        await asyncio.sleep(BUSY_PAUSE)


def probe_stream(name: str, timeout: float) -> LocalStream:
    """Connect without an event loop, to see who listens.

    Args:
        name: as above.
        timeout: seconds.

    Raises:
        OSError: no process listens there, or it has accepted no connection in time.
    """
    end = time.monotonic() + timeout
    while True:
        try:
            return _open(name)
        except OSError as error:
            if error.winerror != PIPE_BUSY:
                raise
        if time.monotonic() > end:
            raise TimeoutError(f"all instances of the pipe are taken for {timeout:g} s")
        time.sleep(BUSY_PAUSE)


def _open(name: str) -> PipeStream:
    handle = kernel32.CreateFileW(name, READ_AND_WRITE, 0, None, OPEN_EXISTING, OVERLAPPED_AND_ANONYMOUS, None)
    return PipeStream(open_handle(handle), serves=False)


async def attach_stream(
    stream: LocalStream, factory: Callable[[], asyncio.BaseProtocol]
) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
    """Run a protocol on a connection, which then belongs to the transport; where this fails it is closed.

    The event loop can wait for it (see `blocking_pipes`).
    """
    import asyncio

    try:
        if isinstance(stream, socket.socket):
            stream.setblocking(False)
            return await asyncio.get_running_loop().create_connection(factory, sock=stream)
        loop: Any = asyncio.get_running_loop()
        protocol, connected = factory(), loop.create_future()
        transport: asyncio.Transport = loop._make_duplex_pipe_transport(stream, protocol, connected)
        try:
            await connected
        except BaseException:
            transport.abort()
            raise
    except BaseException:
        stream.close()
        raise
    return transport, protocol


def blocking_pipes(stream: LocalStream) -> BlockingPipes | None:
    """A connection for threads, where the running event loop cannot wait for it; else `None`.

    It then belongs to these.
    """
    return None if isinstance(stream, socket.socket) or waits_for_pipes() else DuplexPipe(stream)


def credentials(sock: LocalStream) -> Credentials | None:
    """Who is at the other end of a connected named pipe; `None` where the system does not tell.

    The system tells the process that has opened the other end, and the process its user.
    """
    if not isinstance(sock, PipeStream) or sock.fileno() < 0:
        return None
    pid = wintypes.ULONG()
    ask = kernel32.GetNamedPipeClientProcessId if sock.serves else kernel32.GetNamedPipeServerProcessId
    if not ask(sock.fileno(), ctypes.byref(pid)):
        return None
    user = user_of_process(pid.value)
    return None if user is None else Credentials(pid.value, user)


def own_port(sock: socket.socket) -> None:
    """Let a socket listen at a port that connections of an earlier process still use, and no other one beside it.

    Windows needs nothing for the first; its SO_REUSEADDR would let any process take the port as well.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)


async def accept_some(listener: socket.socket, most: int) -> list[tuple[socket.socket, Any]]:
    """Wait for connections, and accept those that there are, each with the address that it comes from.

    Args:
        listener: the listening socket, which does not block.
        most: how many to accept at once.

    Raises:
        OSError: none can be accepted, as a rule because there are no descriptors left.
    """
    import asyncio

    accepted: list[tuple[socket.socket, Any]] = [await asyncio.get_running_loop().sock_accept(listener)]
    accept_waiting(listener, accepted, most)
    return accepted


class ReadWatch:
    """Calls a function in the running event loop whenever a socket has something to read, or has ended.

    Args:
        sock: the socket, which does not block.
        act: reads from it, or closes the watch.

    A completion port tells that a read is done, not that one could be. So this reads no bytes: that is done when there
    are some.
    """

    def __init__(self, sock: socket.socket, act: Callable[[], object]) -> None:
        import asyncio

        self._loop: Any = asyncio.get_running_loop()
        self._sock = sock
        self._act = act
        self._closed = False
        self._reading: asyncio.Future[bytes] | None = None
        if hasattr(self._loop, "_proactor"):
            self._read()
        else:
            self._loop.add_reader(sock, act)

    def _read(self) -> None:
        reading: asyncio.Future[bytes]
        try:
            reading = self._loop._proactor.recv(self._sock, 0)
        except OSError as error:  # Who reads is told of it.
            reading = self._loop.create_future()
            reading.set_exception(error)
        self._reading = reading
        reading.add_done_callback(self._done)

    def _done(self, reading: asyncio.Future[bytes]) -> None:
        failed = reading.cancelled() or reading.exception() is not None
        if self._closed:
            return
        self._act()
        if not self._closed and not failed:
            self._read()

    def close(self) -> None:
        """Watch no longer, before the socket is closed or given away. It may be repeated."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        elif self._sock.fileno() >= 0 and not self._loop.is_closed():
            self._loop.remove_reader(self._sock)
