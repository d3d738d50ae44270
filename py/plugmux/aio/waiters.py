"""Coroutines that wait for one thing."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Waiters"]


class Waiters:
    """A queue of coroutines; the one that has waited longest is woken first.

    Attributes:
        queue: those who wait; `None` while nobody has waited yet, since most links have nobody who does.
    """

    __slots__ = ("queue",)

    def __init__(self) -> None:
        self.queue: deque[asyncio.Future[None]] | None = None

    async def wait(self) -> None:
        """Wait for `wake`.

        When a cancelled wait had been woken already, the next in the queue is woken for it.
        """
        waiter = asyncio.get_running_loop().create_future()
        if self.queue is None:
            self.queue = deque()
        self.queue.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self.wake(1)
            raise

    def wake(self, count: int | None = None) -> None:
        """Wake those that have waited longest.

        Args:
            count: how many; all by default.
        """
        while self.queue and count != 0:
            waiter = self.queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count = None if count is None else count - 1
