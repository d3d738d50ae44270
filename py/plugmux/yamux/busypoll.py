"""Staying awake for an answer that is about to come.

Two ends that answer each other in turn sleep in turn, and to wake a process takes as long as the work of a small call:
35 us where an idle processor of a virtual machine has to be woken too, and many times that where its host is busy. So
an end that expects to hear from its peer may go on looking for a moment, one turn of the loop after the other, before
the loop sleeps. Go's scheduler does the same, and so does Linux as a guest (cpuidle-haltpoll; the default is its 200
us). Whatever else the loop has to do is done as ever.

Whether that pays is measured, not assumed: it does not where answers take longer anyway, or where it takes a processor
from the peer. Of each thousand answers the first are waited for asleep, the next are looked for, and the others are
waited for in whichever way was faster.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

__all__ = ["BusyPoll"]

TRIAL: Final = 16
"""Answers by which each way is judged."""
TERM: Final = 1024
"""Answers after which both are tried again."""
WORTH: Final = 0.9
"""What looking must bring the time until the answer down to."""


class BusyPoll:
    """Keeps a loop from sleeping while that pays.

    Args:
        loop: the loop.
        limit: seconds to look for; 0 for never. On a single processor it is never done: the peer needs its time.
    """

    __slots__ = ("_answers", "_asleep", "_awake", "_limit", "_looking", "_looks", "_loop", "_scheduled", "_since")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float) -> None:
        self._loop = loop
        self._limit = limit if _processors() > 1 else 0.0
        self._since: float | None = None
        self._answers = 0
        self._asleep = self._awake = 0.0  # seconds that the answers of either trial took
        self._looks = False
        self._looking = False
        self._scheduled = False

    def expect(self) -> None:
        """Wait for what the peer sends, from now on."""
        if self._limit:
            self._since = self._loop.time()
            if self._looks:
                self._looking = True
                self._next_turn()

    def heard(self, now: float) -> None:
        """Note that the peer has sent something, and look no more."""
        if self._since is not None:
            self._judge(min(now - self._since, self._limit))
            self._since = None
            self._looking = False

    def stop(self) -> None:
        """Look no more."""
        self._looks = self._looking = False

    def _judge(self, waited: float) -> None:
        self._answers += 1
        if self._answers <= TRIAL:
            self._asleep += waited
            self._looks = self._answers == TRIAL
        elif self._answers <= 2 * TRIAL:
            self._awake += waited
            if self._answers == 2 * TRIAL:
                self._looks = self._awake < WORTH * self._asleep
        elif self._answers == TERM:
            self._answers = 0
            self._asleep = self._awake = 0.0
            self._looks = False

    def _next_turn(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._looking:
            assert self._since is not None
            self._looking = self._loop.time() - self._since < self._limit
            if self._looking:
                self._next_turn()


def _processors() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
