"""Busy polling: keeping an event loop awake for a reply that is about to come.

Two processes that reply to each other in turn also sleep in turn, and waking one takes as long as a small call: 35 us
where an idle processor of a virtual machine has to be woken too, and many times that on a busy host. So a process that
expects a reply may poll for a moment, one turn of the loop after the other, before its loop sleeps. Go's scheduler does
this, and so does Linux as a guest (cpuidle-haltpoll, whose default of 200 us is ours). Other work of the loop runs as
always.

Polling does not always pay: some replies take longer anyway, and some peers need the processor that it takes. So it is
measured: every `RECALIBRATE_AFTER` replies, `SAMPLES` waits are blocking and `SAMPLES` waits are polling, and the
others use the faster way.

Polling yields to other work. A loop that has other work is awake anyway: once a turn takes longer than one that only
polls, no turns are added. When other threads of the process run, or other processes want the processor, polling stops
until the next calibration. A process that has less than two processors, or a quota of less, never polls.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Final

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]  # tested before each use

__all__ = ["BusyPoll", "Load", "processors"]

SAMPLES: Final = 16
"""Replies by which each way of waiting is measured, and after which the cost for others is checked again."""
RECALIBRATE_AFTER: Final = 1024
"""Replies after which both ways are measured again."""
MIN_SPEEDUP: Final = 0.1
"""Part of the time until the reply that polling must save to be worth its cost."""
LONG_TURN: Final = 0.25
"""Part of the limit above which a turn of the loop has done other work: 50 us of 200."""


class BusyPoll:
    """Keeps a loop awake until the peer replies, where that pays.

    Args:
        loop: the loop.
        limit: seconds to poll for; 0 to never poll. With less than two processors it never polls: the peer needs one.
        clock: the time in seconds, to the microsecond.
        load: tells whether others want the processor.
        available: the processors that this process may use; by default, what `processors` gives.
    """

    __slots__ = (
        "_blocking",
        "_clock",
        "_enabled",
        "_expected_since",
        "_limit",
        "_load",
        "_load_checked",
        "_loop",
        "_polling",
        "_polling_now",
        "_replies",
        "_scheduled",
        "_turned",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit: float,
        clock: Callable[[], float] = time.perf_counter,
        load: Load | None = None,
        available: float | None = None,
    ) -> None:
        self._loop = loop
        self._limit = limit if limit and (processors() if available is None else available) >= 2 else 0.0
        self._clock = clock
        self._load = load or Load()
        self._expected_since: float | None = None
        self._replies = 0
        self._blocking = self._polling = 0.0  # seconds that the sampled replies took, waited for in either way
        self._load_checked = self._turned = 0.0
        self._enabled = False
        self._polling_now = False
        self._scheduled = False

    def expect(self) -> None:
        """Expect a reply of the peer from now on."""
        if self._limit:
            self._expected_since = self._clock()
            if self._enabled:
                self._polling_now = True
                self._next_turn()

    def received(self, now: float) -> None:
        """Note that the peer has sent something, and stop polling.

        Args:
            now: the time by the clock.
        """
        if self._expected_since is not None:
            self._record(min(now - self._expected_since, self._limit), now)
            self._expected_since = None
            self._polling_now = False

    def stop(self) -> None:
        """Stop polling, for good."""
        self._enabled = self._polling_now = False

    def _record(self, waited: float, now: float) -> None:
        self._replies += 1
        if self._replies <= SAMPLES:
            self._blocking += waited
            self._enabled = self._replies == SAMPLES
            if self._enabled:
                self._is_contended(now)  # starts the interval that the next check covers
        elif self._replies <= 2 * SAMPLES:
            self._polling += waited
            if self._replies == 2 * SAMPLES:
                self._enabled = self._polling < (1 - MIN_SPEEDUP) * self._blocking and not self._is_contended(now)
        elif self._replies == RECALIBRATE_AFTER:
            self._replies = 0
            self._blocking = self._polling = 0.0
            self._enabled = False
        elif self._enabled and not self._replies % SAMPLES:
            self._enabled = not self._is_contended(now)

    def _is_contended(self, now: float) -> bool:
        elapsed, self._load_checked = now - self._load_checked, now
        return self._load.is_contended(elapsed)

    def _next_turn(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._turned = 0.0
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._polling_now:
            assert self._expected_since is not None
            now, turned = self._clock(), self._turned
            has_other_work = turned and now - turned > LONG_TURN * self._limit
            self._polling_now = not has_other_work and now - self._expected_since < self._limit
            if self._polling_now:
                self._next_turn()
                self._turned = now


CGROUPS = "/sys/fs/cgroup"
OWN_CGROUP = "/proc/self/cgroup"


def processors(root: str = CGROUPS, own: str = OWN_CGROUP) -> float:
    """The processors that this process may use: those it is bound to, or fewer where a cgroup has a quota of time.

    Args:
        root: where cgroups are mounted.
        own: the file that names those of this process.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([float(bound), *_quotas(root, own)])


def _quotas(root: str, own: str) -> list[float]:
    """The quotas of this process' cgroup (version 2) and of those above it, in processors."""
    try:
        lines = _read(own).splitlines()
    except OSError:
        return []
    level = next((line[3:] for line in lines if line.startswith("0::")), "/").strip("/")
    found = _quota(f"{root}/cpu.max")
    while level:
        found += _quota(f"{root}/{level}/cpu.max")
        level = level.rpartition("/")[0]
    return found


def _quota(file: str) -> list[float]:
    try:
        quota, period = _read(file).split()
        return [] if quota == "max" else [int(quota) / int(period)]
    except (OSError, ValueError):
        return []


def _read(file: str) -> str:
    with open(file) as text:  # Every plugin imports this module: pathlib would be a twentieth of its imports.
        return text.read()


class Load:
    """Tells whether others have wanted the processor, or the interpreter, since the last check.

    Others are the threads of this process, which need the interpreter that a busy loop holds, and the processes for
    which the kernel has preempted this thread.

    Args:
        counts: gives the seconds that other threads of this process have run, and how often this thread was preempted.
    """

    def __init__(self, counts: Callable[[], tuple[float, int]] | None = None) -> None:
        self._counts = counts or _counts
        self._threads, self._switches = self._counts()

    def is_contended(self, elapsed: float) -> bool:
        """Whether other threads ran for over a tenth of `elapsed` seconds, or this one was preempted thrice."""
        threads, switches = self._counts()
        wanted = threads - self._threads > elapsed / 10 or switches - self._switches > 2
        self._threads, self._switches = threads, switches
        return wanted


def _counts() -> tuple[float, int]:
    threads = time.process_time() - time.thread_time()
    who = getattr(resource, "RUSAGE_THREAD", None)
    return threads, 0 if who is None else resource.getrusage(who).ru_nivcsw
