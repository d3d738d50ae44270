"""A clock that tests turn: as much of an event loop as timers need."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Timer:
    """A timer handle of the clock."""

    def __init__(self, due: float, callback: Callable[[], object]) -> None:
        self.due = due
        self.callback: Callable[[], object] | None = callback

    def when(self) -> float:
        return self.due

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due


class Clock:
    """As much of an event loop as time limits use; `pass_time` turns it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, callback: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(due, lambda: callback(*args))
        heapq.heappush(self.timers, timer)
        return timer

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        return self.call_at(self.now + delay, callback, *args)

    def pass_time(self, seconds: float) -> None:
        """Run what comes due, each at its time."""
        end = self.now + seconds
        while self.timers and self.timers[0].due <= end:
            self.now = max(self.now, self.timers[0].due)
            self._run_one()
        self.now = end

    def block(self, seconds: float) -> None:
        """Run what comes due, only when the time is over, as a loop does that was blocked meanwhile."""
        self.now += seconds
        due = [timer for timer in self.timers if timer.due <= self.now]
        for _ in due:
            self._run_one()

    def _run_one(self) -> None:
        timer = heapq.heappop(self.timers)
        if timer.callback is not None:
            timer.callback()

    @property
    def pending(self) -> int:
        return sum(timer.callback is not None for timer in self.timers)
