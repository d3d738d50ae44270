"""A time limit that costs one timer: it cancels a task, and can tell its own cancellation from others'.

A caller that leaves and a deadline that passes both cancel a handler, often at the same moment. A second cancellation
would interrupt the clean-up that the first has started, so it follows only after the clean-up has had its time.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .closing import CLEAN_UP_TIME

__all__ = ["Deadline", "cancel_once"]


def cancel_once(task: asyncio.Task[Any]) -> None:
    """Cancel a task; one that is being cancelled already is cancelled again if it is still there after 2 s."""
    if task.cancelling():
        asyncio.get_running_loop().call_later(CLEAN_UP_TIME, task.cancel)
    else:
        task.cancel()


class Deadline:
    """Cancels a task when its time is over.

    Args:
        seconds: how long.
        began: since when, in the event loop's time; from now by default.

    The task is the one that makes the deadline, until `guard` names another or none. Code that catches the
    `CancelledError` calls `claims` to learn whether it is the deadline's. Call `cancel` when the work is done.
    """

    __slots__ = ("_before", "_handle", "_loop", "_task", "expired", "when")

    def __init__(self, seconds: float, began: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.guard(asyncio.current_task())
        self.when = (self._loop.time() if began is None else began) + seconds
        self.expired = False
        self._handle = self._loop.call_at(self.when, self._expire)

    @property
    def time_left(self) -> float:
        """Seconds left; negative when the time is over."""
        return self.when - self._loop.time()

    def guard(self, task: asyncio.Task[Any] | None) -> None:
        """Name the task that is cancelled when the time is over; with `None`, only `expired` is set."""
        self._task = task
        self._before = 0 if task is None else task.cancelling()

    def _expire(self) -> None:
        if self._task is not None and self._task.cancelling() > self._before:
            self._handle = self._loop.call_later(CLEAN_UP_TIME, self._cancel)
        else:
            self._cancel()

    def _cancel(self) -> None:
        self.expired = True
        if self._task is not None:
            self._task.cancel()

    def claims(self) -> bool:
        """Whether the cancellation that the current task has just caught is the deadline's alone."""
        if not self.expired or self._task is None:
            return False
        return self._task.uncancel() <= self._before

    def cancel(self) -> None:
        """Stop the timer."""
        self._handle.cancel()
