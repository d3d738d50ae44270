"""What a process uses, as the kernel counts it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

__all__ = ["ProcessResources", "Resources"]

MAX_AGE = 0.9
"""Seconds for which a reading is good, so that many watchers cost no more than one."""

MAX_STAT = 4096
"""Bytes of /proc/pid/stat that are read: it has 52 numbers and a name of at most 16 characters."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a process uses.

    Args:
        cpu_seconds: processor time since its start.
        memory_bytes: memory that is resident.
        threads: its threads.
    """

    cpu_seconds: float
    memory_bytes: int
    threads: int


class ProcessResources:
    """Reads what processes use, each at most about once a second.

    Args:
        clock: gives seconds, for the age of a reading.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[int, tuple[float, Resources | None]] = {}

    def of(self, pid: int) -> Resources | None:
        """What a process uses; `None` where it has ended, or the system does not tell."""
        now = self._clock()
        known = self._known.get(pid)
        if known is None or now - known[0] > MAX_AGE:
            known = self._known[pid] = now, _read(pid)
        return known[1]

    def forget_others(self, pids: set[int]) -> None:
        """Forget all processes but these."""
        self._known = {pid: reading for pid, reading in self._known.items() if pid in pids}


def _read(pid: int) -> Resources | None:
    """What /proc says. (proc(5), /proc/pid/stat: fields 14, 15, 20 and 24.)"""
    try:
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        try:
            fields = os.read(file, MAX_STAT).rpartition(b")")[2].split()
        finally:
            os.close(file)
        ticks, threads, pages = int(fields[11]) + int(fields[12]), int(fields[17]), int(fields[21])
        a_second, a_page = _units()
        return Resources(ticks / a_second, pages * a_page, threads)
    except (OSError, ValueError, IndexError):
        return None


@cache
def _units() -> tuple[int, int]:
    """The ticks of a second, and the bytes of a page."""
    return os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
