"""Connections: unix sockets, and who is at their other ends; those that come from the network."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..accepting import accept_waiting
from ..interface import BlockingPipes, Credentials

if TYPE_CHECKING:
    import asyncio  # Whoever only probes needs none of it.

__all__ = [
    "LocalStream",
    "ReadWatch",
    "accept_some",
    "attach_stream",
    "blocking_pipes",
    "connect_stream",
    "credentials",
    "own_port",
    "probe_stream",
]

LocalStream = socket.socket
"""A connection within this machine."""

SOL_LOCAL = 0
LOCAL_PEERCRED = 1
LOCAL_PEERPID = 2
"""Python names none of the three on macOS. (sys/un.h)"""

XUCRED = struct.Struct("=IIhxx16I")
"""Version, user, number of groups, groups. FreeBSD has a process id behind them. (sys/ucred.h)"""

XUCRED_VERSION = 0

MAX_WAIT = 0.05
"""Seconds between two attempts to connect while the listener's backlog is full."""


async def connect_stream(name: str) -> LocalStream:
    """Connect to a unix socket.

    Args:
        name: its path, or its abstract name behind a zero byte.

    Raises:
        OSError: no process listens there.

    When the listener's backlog is full, this waits without limit: the caller sets a timeout.
    """
    import asyncio

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        wait = 0.001
        while True:
            try:  # Such a connect is done at once or not at all; `loop.sock_connect` takes a full queue for success.
                sock.connect(name)
                return sock
            except BlockingIOError:
                await asyncio.sleep(wait)
                wait = min(2 * wait, MAX_WAIT)
    except BaseException:
        sock.close()
        raise


def probe_stream(name: str, timeout: float) -> LocalStream:
    """Connect without an event loop, to see who listens.

    Args:
        name: as above.
        timeout: seconds.

    Raises:
        OSError: no process listens there, or it has accepted no connection in time.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(name)
    except BaseException:
        sock.close()
        raise
    return sock


async def attach_stream(
    stream: LocalStream, factory: Callable[[], asyncio.BaseProtocol]
) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
    """Run a protocol on a connection, which then belongs to the transport; where this fails it is closed."""
    import asyncio

    loop = asyncio.get_running_loop()
    try:
        stream.setblocking(False)
        if stream.family == socket.AF_UNIX:
            return await loop.create_unix_connection(factory, sock=stream)
        return await loop.create_connection(factory, sock=stream)
    except BaseException:
        stream.close()
        raise


def blocking_pipes(stream: LocalStream) -> BlockingPipes | None:
    """A connection for threads, where the running event loop cannot wait for it: here each waits for each."""
    return None


def credentials(sock: socket.socket) -> Credentials | None:
    """Who is at the other end of a connected unix socket; `None` where the system does not tell, or not of this one.

    Linux tells by SO_PEERCRED, macOS and FreeBSD by LOCAL_PEERCRED. The layouts are the systems' own, and so the name
    of the system decides: OpenBSD's SO_PEERCRED has another order.
    """
    if sys.platform.startswith("linux") and hasattr(socket, "SO_PEERCRED"):
        pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return Credentials(pid, uid)
    if sys.platform.startswith(("darwin", "freebsd")):
        return _local_peer(sock)
    return None


def _local_peer(sock: socket.socket) -> Credentials | None:
    try:
        told = sock.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, XUCRED.size)
        if len(told) < XUCRED.size:
            return None
        version, uid, *_ = XUCRED.unpack(told)
        if version != XUCRED_VERSION:
            return None
    except OSError:  # The peer has gone, or never was.
        return None
    return Credentials(_local_pid(sock), uid)


def _local_pid(sock: socket.socket) -> int | None:
    """The process id of the peer, which macOS alone tells by this option."""
    if sys.platform != "darwin":
        return None
    try:
        pid: int = struct.unpack("i", sock.getsockopt(SOL_LOCAL, LOCAL_PEERPID, 4))[0]
    except OSError:
        return None
    return pid or None


def own_port(sock: socket.socket) -> None:
    """Let a socket listen at a port that connections of an earlier process still use, and no other one beside it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


async def accept_some(listener: socket.socket, most: int) -> list[tuple[socket.socket, Any]]:
    """Wait for connections, and accept those that there are, each with the address that it comes from.

    Args:
        listener: the listening socket, which does not block.
        most: how many to accept at once.

    Raises:
        OSError: none can be accepted, as a rule because there are no descriptors left.
    """
    import asyncio

    ready = asyncio.Event()
    watch = ReadWatch(listener, ready.set)
    try:
        await ready.wait()
    finally:
        watch.close()
    accepted: list[tuple[socket.socket, Any]] = []
    accept_waiting(listener, accepted, most)
    return accepted


class ReadWatch:
    """Calls a function in the running event loop whenever a socket has something to read, or has ended.

    Args:
        sock: the socket, which does not block.
        act: reads from it, or closes the watch.
    """

    def __init__(self, sock: socket.socket, act: Callable[[], object]) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._loop.add_reader(sock, act)

    def close(self) -> None:
        """Watch no longer, before the socket is closed or given away. It may be repeated."""
        if self._sock.fileno() >= 0 and not self._loop.is_closed():
            self._loop.remove_reader(self._sock)
