"""A clock that a test sets: the timers of the event loop fire when the test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Self, TypeVar

from ..errors import ConfigError, StateError

__all__ = ["FakeClock", "run_on_clock"]

REAL_PAUSE = 0.001
"""Seconds of real time between two looks while a thread or a socket may be at work."""
PATIENCE = 10.0
RESOLUTION = 1e-6
"""Seconds that a timer takes at least: one that is set again for a rest too small for a float would fire for ever."""

Result = TypeVar("Result")


class FakeClock:
    """Takes over the time of the running event loop, from `with` to the end of the block.

        with FakeClock() as clock:
            async with plugin_host(plugin) as host:
                await clock.advance(30)

    `loop.time`, `call_later` and `call_at` follow it, and with them `asyncio.sleep`, `asyncio.timeout` and every limit
    of plugmux. It stands still until `advance` or `run`; a `plugin_host` lets it run while it starts and closes. Enter
    it before the host: it does not know timers that were set before. Those that are left at its end go by real time
    from then on. What threads, processes and sockets do takes real time: use it with plugins of this process.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._now = 0.0
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = itertools.count()
        self._scheduled = 0
        self._real_call_soon: Callable[..., asyncio.Handle]

    def time(self) -> float:
        """The time of the event loop, in seconds."""
        return self._now

    async def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that it brings about, in its order.

        Args:
            seconds: how long, from 0.

        Raises:
            ConfigError: the time is below 0 or not finite.
            StateError: the clock is not in use.
        """
        if not 0 <= seconds < math.inf:
            raise ConfigError(f"the clock cannot be advanced by {seconds} s; it must be 0 or more, and finite")
        end = self._now + seconds
        await self.settle()
        while (due := self.next_timer) is not None and due <= end + RESOLUTION:
            self._fire_next()
            await self.settle()
        self._now = max(self._now, end)
        await self.settle()

    async def run(self, awaitable: Awaitable[Result]) -> Result:
        """Wait for something, and advance to the next timer whenever nothing else can happen.

        Args:
            awaitable: what to wait for.

        Returns:
            Its result.

        Raises:
            StateError: the clock is not in use; or it has not ended after 10 s of real time without a timer left.
        """
        self._check_used()
        task = asyncio.ensure_future(awaitable)
        try:
            idle = 0.0
            while not task.done():
                await self.settle()
                if task.done():
                    break
                if self.next_timer is not None:
                    self._fire_next()
                    idle = 0.0
                    continue
                if idle >= PATIENCE:
                    raise StateError(f"nothing is left that could end what the clock runs: {task!r}")
                await asyncio.to_thread(time.sleep, REAL_PAUSE)
                idle += REAL_PAUSE
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        return await task

    async def settle(self) -> None:
        """Let everything happen that needs no time: returns when every task of the loop waits.

        Raises:
            StateError: the clock is not in use.
        """
        self._check_used()
        quiet = 0
        while quiet < 2:  # The turn itself schedules one callback: that of this task.
            before = self._scheduled
            await asyncio.sleep(0)
            quiet = quiet + 1 if self._scheduled <= before + 1 else 0

    @property
    def next_timer(self) -> float | None:
        """When the next timer fires, in the event loop's time; `None` where there is none."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _fire_next(self) -> None:
        when, _, timer = heapq.heappop(self._timers)
        self._now = max(self._now, when)
        timer.fire()

    def _check_used(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            raise StateError("the clock is not in use here: `with FakeClock() as clock:` in the test itself")

    def __enter__(self) -> Self:
        loop: Any = asyncio.get_running_loop()
        if self._loop is not None or isinstance(getattr(loop.time, "__self__", None), FakeClock):
            raise StateError("a FakeClock is in use already")
        self._loop, self._now = loop, loop.time()
        self._real_call_soon = loop.call_soon
        loop.time, loop.call_later, loop.call_at, loop.call_soon = (
            self.time,
            self._call_later,
            self._call_at,
            self._call_soon,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop: Any = self._loop
        self._loop = None
        for name in ("time", "call_later", "call_at", "call_soon"):
            delattr(loop, name)
        for when, _, timer in sorted(self._timers):
            if not timer.cancelled():
                loop.call_later(max(0.0, when - self._now), timer.fire)
        self._timers.clear()

    def _call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self._call_at(self._now + delay, callback, *args, context=context)

    def _call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        assert self._loop is not None
        when = max(when, self._now + RESOLUTION)
        timer = _Timer(when, callback, args, self._loop, context)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def _call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        self._scheduled += 1
        return self._real_call_soon(callback, *args, context=context)


async def run_on_clock(awaitable: Awaitable[Result]) -> Result:
    """Wait for something; where the loop is on a `FakeClock`, let that run meanwhile."""
    clock = getattr(asyncio.get_running_loop().time, "__self__", None)
    return await (clock.run(awaitable) if isinstance(clock, FakeClock) else awaitable)


class _Timer(asyncio.TimerHandle):
    """A timer that is fired by the clock."""

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self._call = (callback, args, context or copy_context())
        self._turns = loop

    def fire(self) -> None:
        """Run the callback in the loop's next turn, unless the timer is cancelled meanwhile."""
        if not self.cancelled():
            self._turns.call_soon(self._run_unless_cancelled)

    def _run_unless_cancelled(self) -> None:
        callback, args, context = self._call
        if not self.cancelled():
            context.run(callback, *args)
