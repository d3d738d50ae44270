"""What a plugin may use of its machine, and how to tell that a limit was the end of it.

Memory, CPU time and files are the kernel's own limits (setrlimit), set by a shell that then becomes the program: no
instruction of the program runs without them. The number of processes is counted by the runtime (`counter`), because the
kernel counts those of the whole user, and none of root's.
"""

from __future__ import annotations

import re
import resource
import signal
from dataclasses import dataclass

from ...errors import ConfigError

__all__ = ["Ending", "Limits"]

KIB = 1024
MIB = 1024 * KIB
LEAST_MEMORY = 16 * MIB
LEAST_FILES = 16
CPU_GRACE = 1
"""Seconds behind the CPU limit after which a process that ignores SIGXCPU is killed."""

NEARLY = 0.9
"""The share of the memory limit that a process which failed had reached at its peak, if memory was the reason."""

NO_MEMORY = re.compile(r"MemoryError|out of memory|cannot allocate memory|ENOMEM|bad_alloc", re.IGNORECASE)
NO_FILES = re.compile(r"too many open files|EMFILE", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended.

    Args:
        exit_code: its exit status, `None` when a signal ended it.
        signal_number: the signal that ended it, if one did.
        cpu: seconds of CPU time that it used.
        memory: bytes of memory that it had at its peak.
        stderr_tail: the last lines that it wrote on stderr.
    """

    exit_code: int | None
    signal_number: int | None
    cpu: float
    memory: int
    stderr_tail: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a plugin may use: `Launch(command, limits=Limits(memory=512 * 2**20))`. It needs Linux.

    The first three hold for each process of the plugin by itself.

    Args:
        memory: bytes of memory of its own that a process may have (RLIMIT_DATA: heap, stacks of threads, private
            mappings that can be written); at least 16 MiB. More is refused to it, which most programs end by.
        cpu: seconds of CPU time that a process may use in its life; it is ended by SIGXCPU.
        files: descriptors that a process may have open; at least 16. More are refused to it.
        processes: processes that the plugin may have, itself and all that descend from it. At one more the whole plugin
            is killed: the runtime counts them several times a second.

    Raises:
        ConfigError: a limit is out of its range.
    """

    memory: int | None = None
    cpu: int | None = None
    files: int | None = None
    processes: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("memory", LEAST_MEMORY), ("cpu", 1), ("files", LEAST_FILES), ("processes", 1)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise ConfigError(f"the limit {name}={value!r} is not valid: it must be a whole number from {least}")

    def shell_words(self) -> list[str]:
        """What a POSIX shell is told, so that the program it becomes has the limits.

        A limit that this process has itself is not raised: the tighter one holds.
        """
        words = []
        if self.memory is not None:
            words.append(f"ulimit -d {_at_most(self.memory, resource.RLIMIT_DATA) // KIB}")
        if self.cpu is not None:
            words.append(f"ulimit -t {_at_most(self.cpu + CPU_GRACE, resource.RLIMIT_CPU)}")
            words.append(f"ulimit -S -t {_at_most(self.cpu, resource.RLIMIT_CPU)}")
        if self.files is not None:
            words.append(f"ulimit -n {_at_most(self.files, resource.RLIMIT_NOFILE)}")
        return words

    def explain(self, ending: Ending) -> str | None:
        """Which limit ended a process, in words; `None` where none seems to have."""
        if self.cpu is not None and (
            ending.signal_number == signal.SIGXCPU
            or (ending.signal_number == signal.SIGKILL and ending.cpu >= self.cpu)
        ):
            return f"it used more than its CPU limit of {self.cpu} s"
        if ending.exit_code == 0:
            return None
        if self.memory is not None and (NO_MEMORY.search(ending.stderr_tail) or ending.memory >= NEARLY * self.memory):
            return f"very likely it reached its memory limit of {self.memory / MIB:g} MiB"
        if self.files is not None and NO_FILES.search(ending.stderr_tail):
            return f"very likely it reached its limit of {self.files} open files"
        return None


def _at_most(value: int, kind: int) -> int:
    _, hard = resource.getrlimit(kind)
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
