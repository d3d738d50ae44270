"""Staying awake for an answer that is about to come.

Two ends that answer each other in turn sleep in turn, and to wake a process takes as long as the work of a small call:
35 us where an idle processor of a virtual machine has to be woken too, and many times that where its host is busy. So
an end that expects to hear from its peer may go on looking for a moment, one turn of the loop after the other, before
the loop sleeps. Go's scheduler does the same, and so does Linux as a guest (cpuidle-haltpoll; the default is its 200
us). Whatever else the loop has to do is done as ever.

Whether that pays is measured, not assumed: it does not where answers take longer anyway, or where it takes a processor
from the peer. Of each thousand answers the first are waited for asleep, the next are looked for, and the others are
waited for in whichever way was faster.

What it costs others is weighed too. A loop that has other work is awake anyway: where a turn takes longer than one that
only looks, no more turns are added. Where other threads of the process run, or others want the processor, nothing is
looked for until the next trial; and where the process has less than two processors, or a quota of less, never.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from .load import Load, processors

__all__ = ["BusyPoll"]

TRIAL: Final = 16
"""Answers by which each way is judged, and after which it is asked again what that costs others."""
TERM: Final = 1024
"""Answers after which both are tried again."""
WORTH: Final = 0.9
"""What looking must bring the time until the answer down to."""
CROWDED: Final = 0.25
"""The part of the limit that a turn takes at least in which others have worked: 50 us."""


class BusyPoll:
    """Keeps a loop from sleeping while that pays.

    Args:
        loop: the loop.
        limit: seconds to look for; 0 for never. With less than two processors it is never done: the peer needs one.
        clock: the time in seconds, to the microsecond.
        load: tells what others want.
    """

    __slots__ = (
        "_answers",
        "_asleep",
        "_awake",
        "_clock",
        "_limit",
        "_load",
        "_looking",
        "_looks",
        "_loop",
        "_scheduled",
        "_since",
        "_tried",
        "_turned",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit: float,
        clock: Callable[[], float] = time.perf_counter,
        load: Load | None = None,
    ) -> None:
        self._loop = loop
        self._limit = limit if limit and processors() >= 2 else 0.0
        self._clock = clock
        self._load = load or Load()
        self._since: float | None = None
        self._answers = 0
        self._asleep = self._awake = 0.0  # seconds that the answers of either trial took
        self._tried = self._turned = 0.0
        self._looks = False
        self._looking = False
        self._scheduled = False

    def expect(self) -> None:
        """Wait for what the peer sends, from now on."""
        if self._limit:
            self._since = self._clock()
            if self._looks:
                self._looking = True
                self._next_turn()

    def heard(self, now: float) -> None:
        """Note that the peer has sent something, and look no more.

        Args:
            now: the time by the clock.
        """
        if self._since is not None:
            self._judge(min(now - self._since, self._limit), now)
            self._since = None
            self._looking = False

    def stop(self) -> None:
        """Look no more."""
        self._looks = self._looking = False

    def _judge(self, waited: float, now: float) -> None:
        self._answers += 1
        if self._answers <= TRIAL:
            self._asleep += waited
            self._looks = self._answers == TRIAL
            if self._looks:
                self._is_unwanted(now)  # from now on it counts
        elif self._answers <= 2 * TRIAL:
            self._awake += waited
            if self._answers == 2 * TRIAL:
                self._looks = self._awake < WORTH * self._asleep and not self._is_unwanted(now)
        elif self._answers == TERM:
            self._answers = 0
            self._asleep = self._awake = 0.0
            self._looks = False
        elif self._looks and not self._answers % TRIAL:
            self._looks = not self._is_unwanted(now)

    def _is_unwanted(self, now: float) -> bool:
        elapsed, self._tried = now - self._tried, now
        return self._load.wanted_by_others(elapsed)

    def _next_turn(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._turned = 0.0
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._looking:
            assert self._since is not None
            now, turned = self._clock(), self._turned
            crowded = turned and now - turned > CROWDED * self._limit
            self._looking = not crowded and now - self._since < self._limit
            if self._looking:
                self._next_turn()
                self._turned = now
