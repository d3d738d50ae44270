"""One timeout for many members, at the price of one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import takewhile
from typing import Final, Generic, TypeVar

__all__ = ["MAX_LATENESS", "TimeoutQueue"]

MAX_LATENESS: Final = 1.0
"""Seconds by which a timer may be late before it counts as a sign that the event loop was held up."""

T = TypeVar("T")


class TimeoutQueue(Generic[T]):
    """Calls `expired(member)` for every member that was added `seconds` ago and has not been discarded since.

    The timeout is the same for all members, so they expire in the order in which they were added, and one timer for the
    oldest is enough: a member that leaves in time costs two dictionary operations.

    A timer that fires late means that the event loop was held up, by a blocking call or because the machine slept. What
    the peers have sent meanwhile has yet to be read, so every member is given the lost time again.

    Args:
        seconds: the timeout; `None` for no limit.
        expired: is called once for each member, after the queue has forgotten it.
        loop: the event loop whose timer is used; by default the one that runs when a member is added.
    """

    __slots__ = ("_due", "_expired", "_loop", "_seconds", "_timer")

    def __init__(
        self, seconds: float | None, expired: Callable[[T], None], loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._seconds = seconds
        self._expired = expired
        self._loop = loop
        self._due: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def add(self, member: T) -> None:
        """Start the time of a member that is not in the queue."""
        if self._seconds is None:
            return
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        due = self._due[member] = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._run)

    def discard(self, member: T) -> None:
        """Stop the time of a member, if it runs."""
        self._due.pop(member, None)

    def clear(self) -> None:
        """Stop the time of every member; members can still be added."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> None:
        """Stop the time of every member, and ignore members that are added later."""
        self._seconds = None
        self.clear()

    def _run(self) -> None:
        assert self._loop is not None
        assert self._timer is not None
        now = self._loop.time()
        late = now - self._timer.when()
        self._timer = None
        if late > MAX_LATENESS:
            self._due = {member: due + late + MAX_LATENESS for member, due in self._due.items()}
        for member, _ in list(takewhile(lambda entry: entry[1] <= now, self._due.items())):
            if self._due.pop(member, None) is not None:
                self._expired(member)
        self._start_timer(self._loop)

    def _start_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the timer for the oldest member, unless an expiry has done so.

        A method of its own: within `_run` a type checker believes that there is no timer, and so does compiled code.
        """
        if self._due and self._timer is None:
            self._timer = loop.call_at(next(iter(self._due.values())), self._run)
