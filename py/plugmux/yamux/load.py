"""What there is of processors, and who else wants them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]

__all__ = ["Load", "processors"]

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def processors(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> float:
    """The processors that this process may use: those it is bound to, or fewer where a cgroup has a quota of time.

    Args:
        root: where cgroups are mounted.
        own: the file that names those of this process.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([float(bound), *_quotas(root, own)])


def _quotas(root: Path, own: Path) -> list[float]:
    """The quotas of a process' cgroup (version 2) and of those above it, in processors."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    name = next((line[3:] for line in lines if line.startswith("0::")), "/").strip("/")
    folder, found = root / name, []
    for level in (folder, *folder.parents):
        found += _quota(level / "cpu.max")
        if level == root:
            break
    return found


def _quota(file: Path) -> list[float]:
    try:
        quota, period = file.read_text().split()
        return [] if quota == "max" else [int(quota) / int(period)]
    except (OSError, ValueError):
        return []


class Load:
    """Tells whether others have wanted the processor, or the interpreter, since it was asked last.

    Others are the threads of this process, which need the interpreter that a busy loop holds, and whoever this thread
    was taken off its processor for.

    Args:
        counts: gives the seconds that other threads of this process have run, and how often this thread was taken off.
    """

    def __init__(self, counts: Callable[[], tuple[float, int]] | None = None) -> None:
        self._counts = counts or _counts
        self._threads, self._switches = self._counts()

    def wanted_by_others(self, elapsed: float) -> bool:
        """Whether they have, in so many seconds; a tenth of that for threads, and twice for a processor, is little."""
        threads, switches = self._counts()
        wanted = threads - self._threads > elapsed / 10 or switches - self._switches > 2
        self._threads, self._switches = threads, switches
        return wanted


def _counts() -> tuple[float, int]:
    threads = time.process_time() - time.thread_time()
    who = getattr(resource, "RUSAGE_THREAD", None)
    return threads, 0 if who is None else resource.getrusage(who).ru_nivcsw
