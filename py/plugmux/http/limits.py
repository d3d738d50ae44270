"""What a server allows its peers: sizes and times, and the queue that watches the times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

__all__ = ["DeadlineQueue", "Expiring", "Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an HTTP server allows each connection.

    Args:
        head_bytes: size of a request's head, in bytes; more is answered with 431.
        head_seconds: time for a request's head, from the opening of the connection or the head's first byte; an
            unfinished head is then answered with 408.
        idle_seconds: time that a kept connection may stay without a new request.
        body_seconds: time without any progress while the server itself collects a request's body (the direct entry);
            then 408. An ASGI app that waits for a body sets its own limit.
        buffer_bytes: how much of a body, or of pipelined requests, is read ahead of the app. Memory per connection
            stays below this plus one read of the transport.
        write_seconds: time in which a caller takes nothing of a response that is sent to it; then the connection is cut
            off.
        linger_seconds: how long the rest of a request that nobody will read is thrown away after the response, so
            that the response is not lost with it.
    """

    head_bytes: int = 64 * 1024
    head_seconds: float = 15.0
    idle_seconds: float = 75.0
    body_seconds: float = 60.0
    buffer_bytes: int = 64 * 1024
    write_seconds: float = 300.0
    linger_seconds: float = 2.0


class Expiring(Protocol):
    """Whatever can wait in a `DeadlineQueue`."""

    def expired(self) -> None:
        """The time is over; the queue has forgotten the member already."""


class DeadlineQueue:
    """Members that all have the same number of seconds, counted from when each was added.

    As the time is the same for all, the order of arrival is the order of the deadlines, and one timer for the first of
    them is enough: a member that leaves in time costs two dictionary operations and no timer.
    """

    __slots__ = ("_due", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[Expiring, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, member: Expiring) -> None:
        """Let the time of a member begin that is not here."""
        loop = asyncio.get_running_loop()
        self._due[member] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._expire)

    def discard(self, member: Expiring) -> None:
        """Forget a member; one that is not here is no error."""
        self._due.pop(member, None)

    def close(self) -> None:
        """Forget every member and stop the timer."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = []
        for member, due in self._due.items():
            if due > now:
                self._timer = loop.call_at(due, self._expire)
                break
            late.append(member)
        for member in late:
            self._due.pop(member, None)
            member.expired()
