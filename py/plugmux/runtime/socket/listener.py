"""The runtime's local sockets: private to the user, and every caller known by what the kernel says of it."""

from __future__ import annotations

import asyncio
import errno
import logging

from ...aio.forks import lose_in_children
from ...aio.pipes import open_stream
from ...contract.address import Address
from ...http import Server
from ...link.link import Peer
from ...platform import (
    ListenError,
    LocalListener,
    LocalStream,
    UserId,
    credentials,
    current_user,
    descriptor_limit,
    is_superuser,
)
from ...platform.accepting import ACCEPTED_AT_ONCE, NO_DESCRIPTOR_PAUSE, OpenConnections
from ..logs.flood import FloodLog

__all__ = ["Listener"]

logger = logging.getLogger("plugmux.runtime")

BACKLOG = 4096
"""Connections that may wait; the kernel bounds them as well (net.core.somaxconn)."""


class Listener:
    """One listening unix socket or named pipe.

    Args:
        address: where to listen.
        server: serves every connection whose peer is of the same user.
        most_connections: connections that one user may have at a time; by default as `OpenConnections` says.
    """

    def __init__(self, address: Address, server: Server, most_connections: int | None = None) -> None:
        self.address = address
        self._server = server
        self._open: OpenConnections[UserId | None, LocalStream] = OpenConnections(
            lambda connection: connection.fileno() >= 0, descriptor_limit(), most_connections
        )
        self._floods = FloodLog(logger)
        self._listener: LocalListener | None = None
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen. The socket of a runtime that has died is replaced, that of a live one is not.

        Raises:
            ListenError: somebody listens there already, the socket cannot be made, or another user could put its own
                in its place.
        """
        try:
            listener = await LocalListener.open(self.address.sockaddr, BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ListenError(
                    f"a runtime listens at {self.address} already; stop it or choose another address"
                ) from None
            raise ListenError(f"cannot listen at {self.address}: {error.strerror}") from None
        if self._closed:  # It waited for another runtime meanwhile.
            listener.close()
            raise ListenError(f"the listener at {self.address} has been closed")
        self._listener = listener
        lose_in_children(self)
        self._task = asyncio.create_task(self._accept(listener), name=f"plugmux: listen at {self.address}")

    async def _accept(self, listener: LocalListener) -> None:
        while True:
            try:
                for _ in range(ACCEPTED_AT_ONCE):
                    await self._take(await listener.accept())
                await asyncio.sleep(0)
            except OSError as error:
                # Out of descriptors, as a rule: the connection waits in the backlog until some are free.
                self._floods.warn("accept", f"cannot accept at {self.address}: {error}")
                await asyncio.sleep(NO_DESCRIPTOR_PAUSE)

    async def _take(self, connection: LocalStream) -> None:
        """Serve a connection of a user who may connect, and close that of another."""
        try:
            peer = _peer(connection)
            if not self._admits(peer, connection):
                connection.close()
                return
            await open_stream(lambda: self._server.protocol(peer=peer), connection)
        except OSError:
            connection.close()  # It has ended meanwhile.
        except BaseException:
            connection.close()
            raise

    def _admits(self, peer: Peer, connection: LocalStream) -> bool:
        if peer.uid is None:
            unknown = f"refused a connection at {self.address}: the system does not tell whose it is"
            self._floods.warn("unknown user", unknown)
            return False
        if peer.uid != current_user() and not is_superuser(peer.uid):
            refused = f"refused a connection of user {peer.uid} (process {peer.pid}) at {self.address}"
            self._floods.warn("another user", refused)
            return False
        if not self._open.add(peer.uid, connection):
            self._floods.warn(
                "too many",
                f"refused a connection of process {peer.pid} at {self.address}: user {peer.uid} has "
                f"{self._open.most} open, which is as many as one user may have",
            )
            return False
        return True

    def descriptors(self) -> list[int]:
        """The descriptor of the listening socket."""
        return [] if self._listener is None else self._listener.descriptors()

    async def close(self) -> None:
        """Stop listening and remove the socket's file, unless another runtime's stands in its place."""
        self._closed = True
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
                self._task = None
        finally:
            self._floods.close()
            self._open.clear()
            if self._listener is not None:
                self._listener.close()
                self._listener = None


def _peer(connection: LocalStream) -> Peer:
    """Who connected, as the kernel knows it."""
    known = credentials(connection)
    if known is None or known.pid is None:
        return Peer("a local process", uid=None if known is None else known.uid)
    return Peer(f"process {known.pid}", pid=known.pid, uid=known.uid)
