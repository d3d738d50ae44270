"""What this process has at a moment: what is more of it later has leaked. (Linux.)"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Census", "cpu_seconds", "resident_bytes"]


@dataclass(frozen=True, slots=True)
class Census:
    """Open descriptors, child processes (zombies too) and unfinished tasks of this process."""

    descriptors: int
    children: frozenset[int]
    tasks: int

    @classmethod
    def take(cls) -> Census:
        """Count now, in the running loop."""
        return cls(len(os.listdir("/proc/self/fd")), _children(), len(asyncio.all_tasks()))


def _children() -> frozenset[int]:
    return frozenset(
        int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()
    )


def resident_bytes() -> int:
    """The memory that this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used, in nanosecond steps; its children's is not in it."""
    return time.clock_gettime(~pid << 3 | 2)
