"""Connections of this machine: named pipes."""

from __future__ import annotations

import ctypes
import socket
import time
from asyncio import windows_utils
from collections.abc import Callable
from ctypes import wintypes
from typing import TYPE_CHECKING, TypeAlias

from ..interface import Credentials
from .native.kernel import kernel32, open_handle
from .native.loop import pipe_loop
from .users import user_of_process

if TYPE_CHECKING:
    import asyncio

__all__ = ["LocalStream", "PipeStream", "attach_stream", "connect_stream", "credentials", "probe_stream"]

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
    """Run a protocol on a connection, which then belongs to the transport; where this fails it is closed."""
    import asyncio

    try:
        if isinstance(stream, socket.socket):
            stream.setblocking(False)
            return await asyncio.get_running_loop().create_connection(factory, sock=stream)
        loop = pipe_loop()
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
