"""One time limit for many streams, at the price of one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import takewhile

from .state import Stream

__all__ = ["Deadlines"]

LATE = 1.0
"""Seconds by which a timer may be late before it tells that the loop was held up."""


class Deadlines:
    """Calls `expired(stream)` for every stream that was added `timeout` seconds ago and not discarded since.

    Because the limit is the same for all, they expire in the order of adding, and one timer for the oldest will do.

    Args:
        loop: the loop whose timer is used.
        timeout: seconds; 0 means no limit.
        expired: is called once for each.
    """

    __slots__ = ("_due", "_expired", "_loop", "_stopped", "_timeout", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float, expired: Callable[[Stream], None]) -> None:
        self._loop = loop
        self._timeout = timeout
        self._expired = expired
        self._due: dict[Stream, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def add(self, stream: Stream) -> None:
        """Start the time of a stream, unless all have been stopped."""
        if self._timeout and not self._stopped:
            due = self._due[stream] = self._loop.time() + self._timeout
            if self._timer is None:
                self._timer = self._loop.call_at(due, self._run)

    def discard(self, stream: Stream) -> None:
        """Stop the time of a stream, if it runs."""
        self._due.pop(stream, None)

    def stop(self) -> None:
        """Stop the time of every stream, and of those that are added later."""
        self._stopped = True
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        self._timer = None
        now = self._loop.time()
        late = now - next(iter(self._due.values()), now)
        if late > LATE:  # this loop was held up, and what the peers have sent meanwhile is yet to be read
            self._due = {stream: due + late + LATE for stream, due in self._due.items()}
        for stream, _ in list(takewhile(lambda entry: entry[1] <= now, self._due.items())):
            self._due.pop(stream, None)
            self._expired(stream)
        if self._due and self._timer is None:
            self._timer = self._loop.call_at(next(iter(self._due.values())), self._run)
