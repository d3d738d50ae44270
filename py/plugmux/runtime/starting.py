"""A start that takes long: what the log says of it, and how long it holds the starts of other plugins up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from .logs.log import LogSource, PluginLog

__all__ = ["start_slot", "still_starting"]

STILL_STARTING = (5.0, 15.0, 30.0)
"""Seconds after which the log says that a plugin has not registered yet."""

SLOT_TIME = 5.0
"""Seconds that one start counts as one of those that may run at the same time."""


@contextmanager
def still_starting(log: PluginLog, timeout: float) -> Iterator[None]:
    """Say in the plugin's log that it still starts, as long as the block has not ended.

    Args:
        log: the plugin's log.
        timeout: seconds that it has.
    """
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(after, _tell, log, after, timeout) for after in STILL_STARTING if after < timeout]
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _tell(log: PluginLog, after: float, timeout: float) -> None:
    log.write(
        LogSource.RUNTIME,
        logging.WARNING,
        f"plugin {log.name!r} is still starting: it has not registered within {after:g} s, and has {timeout:g} s "
        f"(registration_timeout, or timeout of its Launch)",
    )


@asynccontextmanager
async def start_slot(starts: asyncio.Semaphore) -> AsyncIterator[None]:
    """Take one of the slots for starts, and give it back at the end of the block or after `SLOT_TIME`.

    A plugin that never registers keeps its slot for no longer than that, so that the others start.
    """
    await starts.acquire()
    held = True

    def release() -> None:
        nonlocal held
        if held:
            held = False
            starts.release()

    timer = asyncio.get_running_loop().call_later(SLOT_TIME, release)
    try:
        yield
    finally:
        timer.cancel()
        release()
