"""Holds a plugin to its number of processes, which it counts from what /proc says of every process of the machine.

To a plugin belong the process that was launched, whatever is in its process group or session, and whatever descends
from any of these: a child that leaves the group is counted as well as one whose parent has ended. A process that has
left group and session, and whose parent has ended, is not known to be the plugin's.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ...platform import open_process

__all__ = ["ProcessCounter", "ProcessLimit"]

INTERVAL = 0.2
"""Seconds between two looks at a plugin. A look is no more than one small read while nobody begins a process."""

ZOMBIE = "Z"
PROC = Path("/proc")


class _Entry(NamedTuple):
    """What is known of one process. The time it began at tells it from a later one of the same id."""

    parent: int
    group: int
    session: int
    state: str
    began: int


class ProcessCounter:
    """The processes of one plugin at one moment.

    Args:
        leader: the process id of the process that was launched, which leads a group of its own.
    """

    def __init__(self, leader: int) -> None:
        processes = {int(name): entry for name in os.listdir(PROC) if name.isdigit() and (entry := _entry(name))}
        own = {pid for pid, entry in processes.items() if leader in (pid, entry.group, entry.session)}
        children: dict[int, list[int]] = {}
        for pid, entry in processes.items():
            children.setdefault(entry.parent, []).append(pid)
        found: set[int] = set()
        waiting = list(own)
        while waiting:
            pid = waiting.pop()
            if pid not in found:
                found.add(pid)
                waiting += children.get(pid, ())
        self._members = {pid: processes[pid] for pid in found if processes[pid].state != ZOMBIE}

    def __len__(self) -> int:
        return len(self._members)

    def kill(self) -> None:
        """End all of them; a process that has taken the id of one of them meanwhile is not hit."""
        for pid, entry in self._members.items():
            with suppress(ProcessLookupError, PermissionError):
                process = open_process(pid)
                try:
                    now = _entry(str(pid))
                    if now is not None and now.began == entry.began:
                        process.send_signal(signal.SIGKILL)
                finally:
                    process.close()


class ProcessLimit:
    """Kills a plugin as soon as it is seen with more processes than it may have.

    Args:
        leader: the process that was launched.
        most: how many processes the plugin may have, with that one.

    Attributes:
        verdict: why the plugin has been killed, `None` while it has not.
    """

    def __init__(self, leader: int, most: int) -> None:
        self.verdict: str | None = None
        self._leader = leader
        self._most = most
        self._newest = ""
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        newest = _newest_pid()
        if newest != self._newest:
            self._newest = newest
            counter = ProcessCounter(self._leader)
            if len(counter) > self._most:
                self.verdict = f"it had {len(counter)} processes, over its limit of {self._most}"
                counter.kill()
                return
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._look)


def _newest_pid() -> str:
    """The id that was given out last: while it stays the same, no process of the machine has begun another."""
    return (PROC / "loadavg").read_text().split()[-1]


def _entry(pid: str) -> _Entry | None:
    """What /proc says of a process, `None` when it has gone. (proc(5), /proc/pid/stat.)"""
    try:
        text = (PROC / pid / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    state, parent, group, session, *rest = text.rpartition(")")[2].split()
    return _Entry(int(parent), int(group), int(session), state, int(rest[15]))
