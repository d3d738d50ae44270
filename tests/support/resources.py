"""What this process has at a moment: what is more of it later has leaked."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from plugmux.platform import start_time
from support.tools import ON_WINDOWS

__all__ = ["ProcessResources", "alive", "cpu_seconds", "end_at_once", "gone", "hold", "resident_bytes"]


@dataclass(frozen=True, slots=True)
class ProcessResources:
    """Open descriptors, child processes (zombies too) and unfinished tasks of this process."""

    descriptors: int
    children: frozenset[int]
    tasks: int

    @classmethod
    def take(cls) -> ProcessResources:
        """Count now, in the running loop; on Windows tasks alone."""
        if ON_WINDOWS:
            return cls(0, frozenset(), len(asyncio.all_tasks()))
        return cls(len(os.listdir("/proc/self/fd")), _children(), len(asyncio.all_tasks()))


def _children() -> frozenset[int]:
    while True:
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread has ended, and left them to another
            tasks = list(Path("/proc/self/task").iterdir())
            return frozenset(int(pid) for task in tasks for pid in (task / "children").read_text().split())


def resident_bytes(pid: int | None = None) -> int:
    """The memory that a process has in use, this one by default."""
    statm = Path("/proc", "self" if pid is None else str(pid), "statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used, in nanosecond steps; its children's is not in it."""
    return time.clock_gettime(~pid << 3 | 2)


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and is waited for by nobody yet does not."""
    if ON_WINDOWS:
        return start_time(pid) is not None
    try:
        return _state(Path(f"/proc/{pid}/stat")) != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def end_at_once(pid: int) -> None:
    """End a process so that it does nothing more."""
    os.kill(pid, signal.SIGTERM if ON_WINDOWS else signal.SIGKILL)  # On Windows it is no signal: it ends at once.


async def gone(pid: int) -> None:
    """Wait until a process has ended: one that has been killed takes its time."""
    while alive(pid):
        await asyncio.sleep(0.005)


async def hold(pid: int) -> None:
    """Stop a process, and wait until each of its threads stands still."""
    os.kill(pid, signal.SIGSTOP)
    while _states(pid) != {"T"}:
        await asyncio.sleep(0.005)


def _states(pid: int) -> set[str]:
    try:
        return {_state(thread / "stat") for thread in Path(f"/proc/{pid}/task").iterdir()}
    except (FileNotFoundError, ProcessLookupError):  # A thread has ended meanwhile.
        return set()


def _state(stat: Path) -> str:
    return stat.read_text().rpartition(")")[2].split()[0]
