"""The runtime's listening sockets: private to the user, and every caller known by what the kernel says of it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
import struct
import sys
from pathlib import Path

from ...contract.address import Address
from ...errors import PlugmuxError
from ...http import Server
from ...link.link import Peer

__all__ = ["ListenError", "Listener", "bind_privately", "prepare"]

logger = logging.getLogger("plugmux.runtime")

BACKLOG = 128
PRIVATE_DIRECTORY = 0o700
PRIVATE_SOCKET = 0o600
SHUTDOWN_TIME = 1.0


class ListenError(PlugmuxError):
    """The runtime cannot listen at an address; the message says why."""


class Listener:
    """One listening unix socket.

    Args:
        address: where to listen.
        server: serves every connection whose peer is of the same user.
    """

    def __init__(self, address: Address, server: Server) -> None:
        self.address = address
        self._server = server
        self._socket: socket.socket | None = None
        self._file: tuple[int, int] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen. The socket of a runtime that has died is replaced, that of a live one is not.

        Raises:
            ListenError: somebody listens there already, or the socket cannot be made.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if self.address.path is not None:
                prepare(self.address.path)
                bind_privately(sock, self.address.path)
                self._file = _identity(self.address.path)
            else:
                sock.bind(self.address.sockaddr)
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                raise ListenError(
                    f"a runtime listens at {self.address} already; stop it or choose another address"
                ) from None
            raise ListenError(f"cannot listen at {self.address}: {error.strerror}") from None
        except ListenError:
            sock.close()
            raise
        sock.setblocking(False)
        self._socket = sock
        self._task = asyncio.create_task(self._accept(sock), name=f"plugmux: listen at {self.address}")

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(sock)
            except OSError as error:
                # Out of descriptors, as a rule: the connection waits in the backlog until some are free.
                logger.warning("cannot accept at %s: %s", self.address, error)
                await asyncio.sleep(0.1)
                continue
            peer = _peer(connection)
            if peer.uid is not None and peer.uid not in (os.getuid(), 0):
                logger.warning("refused a connection of user %d (process %s) at %s", peer.uid, peer.pid, self.address)
                connection.close()
                continue
            await loop.connect_accepted_socket(lambda peer=peer: self._server.protocol(peer=peer), connection)  # type: ignore[misc]

    async def close(self) -> None:
        """Stop listening and remove the socket's file, unless another runtime's stands in its place."""
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
                self._task = None
        finally:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
                if self.address.path is not None and _identity(self.address.path) == self._file:
                    self.address.path.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to; none if there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def prepare(path: Path) -> None:
    """Make the socket's directory, and clear away what a dead runtime left."""
    path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{str(path)!r} exists and is no socket; choose another address")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except FileNotFoundError:
            return
    raise ListenError(f"a runtime listens at unix:{path} already; stop it or choose another address")


def bind_privately(sock: socket.socket, path: Path) -> None:
    """Bind so that nobody else can connect, not even between `bind` and `chmod`."""
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)
    path.chmod(PRIVATE_SOCKET)


def _peer(connection: socket.socket) -> Peer:
    """Who connected, as the kernel knows it."""
    if not sys.platform.startswith("linux"):
        return Peer("a local process")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    return Peer(f"process {pid}", pid=pid, uid=uid)
