"""What accepting a connection is in both families: several at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

__all__ = ["ACCEPTED_AT_ONCE", "NO_DESCRIPTOR_PAUSE", "accept_waiting"]

ACCEPTED_AT_ONCE = 32
"""Connections that are accepted before everything else in the loop gets its turn."""

NO_DESCRIPTOR_PAUSE = 0.1
"""Seconds until the next try to accept, where no descriptor is free."""


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
