"""What accepting a connection is in both families: several at once, and so many of one caller."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import socket

__all__ = ["ACCEPTED_AT_ONCE", "MAX_CONNECTIONS", "NO_DESCRIPTOR_PAUSE", "OpenConnections", "accept_waiting"]

Caller = TypeVar("Caller", bound=Hashable)
Connection = TypeVar("Connection")

ACCEPTED_AT_ONCE = 32
"""Connections that are accepted before everything else in the loop gets its turn."""

NO_DESCRIPTOR_PAUSE = 0.1
"""Seconds until the next try to accept, where no descriptor is free."""

MAX_CONNECTIONS = 1024
"""Connections that one caller may have, and never more than half of the descriptors that this process may have."""


class OpenConnections(Generic[Caller, Connection]):
    """The connections that each caller has open, of which there are only so many.

    Args:
        is_open: whether a connection is open still.
        descriptors: how many descriptors this process may have; `None` for any number.
        most: connections that one caller may have at a time; by default `MAX_CONNECTIONS`, or half of `descriptors`
            where that is less.

    Attributes:
        most: how many they are.
    """

    def __init__(self, is_open: Callable[[Connection], bool], descriptors: int | None, most: int | None = None) -> None:
        if most is None:
            most = MAX_CONNECTIONS if descriptors is None else min(MAX_CONNECTIONS, max(descriptors // 2, 1))
        self.most = most
        self._is_open = is_open
        self._open: defaultdict[Caller, list[Connection]] = defaultdict(list)
        self._added = 0

    def add(self, caller: Caller, connection: Connection) -> bool:
        """Count a connection, if its caller may have one more.

        Returns:
            Whether it may.
        """
        if self._added >= self.most:  # Callers who have come and gone are forgotten, so that they take no memory.
            self._forget_closed()
        if len(self._open[caller]) >= self.most:
            self._open[caller] = [known for known in self._open[caller] if self._is_open(known)]
        if len(self._open[caller]) >= self.most:
            return False
        self._open[caller].append(connection)
        self._added += 1
        return True

    def _forget_closed(self) -> None:
        self._added = 0
        for caller, connections in tuple(self._open.items()):
            if still_open := [connection for connection in connections if self._is_open(connection)]:
                self._open[caller] = still_open
            else:
                del self._open[caller]

    def clear(self) -> None:
        """Forget all of them."""
        self._open.clear()


def accept_waiting(listener: socket.socket, accepted: list[tuple[socket.socket, Any]], most: int) -> None:
    """Accept the connections that wait, until there are `most` in `accepted`.

    Raises:
        OSError: none can be accepted, and none has been. Where some have been, the next call tells.
    """
    try:
        while len(accepted) < most:
            accepted.append(listener.accept())
    except BlockingIOError:
        return  # Nobody else waits.
    except OSError:
        if not accepted:
            raise
