"""Staying awake for an answer that is about to come.

Two ends that answer each other in turn sleep in turn, and to wake a process takes as long as the work of a small call:
35 us where an idle processor of a virtual machine has to be woken too, and many times that where its host is busy. So
an end that expects to hear from its peer goes on looking for a moment, one turn of the loop after the other, before the
loop sleeps. Go's scheduler does the same, and so does Linux as a guest (cpuidle-haltpoll; the default is its 200 us).
Whatever else the loop has to do is done as ever.

    does not pay ── the peer was heard within the limit ──> pays ── it was not ──> does not pay

Who waits for long, or for nothing, has looked in vain once, for no longer than the limit.
"""

from __future__ import annotations

import asyncio
import os

__all__ = ["BusyPoll"]


class BusyPoll:
    """Keeps a loop from sleeping while that pays.

    Args:
        loop: the loop.
        limit: seconds to look for; 0 for never. On a single processor it is never done: the peer needs its time.
    """

    __slots__ = ("_limit", "_looking", "_loop", "_pays", "_scheduled", "_since")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float) -> None:
        self._loop = loop
        self._limit = limit if _processors() > 1 else 0.0
        self._since = loop.time() - limit
        self._pays = False
        self._looking = False
        self._scheduled = False

    def expect(self) -> None:
        """Look for what the peer sends, from now on."""
        self._since = self._loop.time()
        if self._pays:
            self._looking = True
            self._next_turn()

    def heard(self, now: float) -> None:
        """Note that the peer has sent something, and look no more."""
        self._pays = now - self._since < self._limit
        self._looking = False

    def stop(self) -> None:
        """Look no more."""
        self._pays = self._looking = False

    def _next_turn(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._looking:
            if self._loop.time() - self._since < self._limit:
                self._next_turn()
            else:
                self.stop()


def _processors() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
