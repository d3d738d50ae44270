"""Slots for work of which only so much may run at once, where one piece must not hold the others up for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["slot"]


@asynccontextmanager
async def slot(slots: asyncio.Semaphore, seconds: float) -> AsyncIterator[None]:
    """Take a slot, and give it back at the end of the block, or when its time is over.

    Args:
        slots: the slots.
        seconds: how long the block counts as one of those that run.
    """
    await slots.acquire()
    held = True

    def release() -> None:
        nonlocal held
        if held:
            held = False
            slots.release()

    timer = asyncio.get_running_loop().call_later(seconds, release)
    try:
        yield
    finally:
        timer.cancel()
        release()
