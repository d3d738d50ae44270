"""What a plugin may use of its machine, and how to tell that a limit was the end of it.

Memory, CPU time and files are the kernel's own limits, set before the program begins: no instruction of it runs without
them. The number of processes is counted by the runtime (`counter`), because the
kernel counts those of the whole user, and none of root's.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...bounds import check_numbers
from ...errors import ConfigError

if TYPE_CHECKING:
    from ...platform import ExitStatus

__all__ = ["LIMITS", "Limits"]

LIMITS = ("memory", "cpu", "files", "processes")
"""The names of all limits."""

KIB = 1024
MIB = 1024 * KIB
LEAST_MEMORY = 16 * MIB
LEAST_FILES = 16
NEARLY = 0.9
"""The share of the memory limit that a process which failed had reached at its peak, if memory was the reason."""

NO_MEMORY = re.compile(r"MemoryError|out of memory|cannot allocate memory|ENOMEM|bad_alloc", re.IGNORECASE)
NO_FILES = re.compile(r"too many open files|EMFILE", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a plugin may use: `Launch(command, limits=Limits(memory=512 * 2**20))`.

    Linux knows all limits; elsewhere a `Launch` refuses those that its system has not. The first three hold for each
    process of the plugin by itself.

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
        check_numbers(self, {"memory": LEAST_MEMORY, "cpu": 1, "files": LEAST_FILES, "processes": 1})

    def check_supported(self, plugin: str, unsupported: Mapping[str, str]) -> None:
        """Check that a plugin can be held to all of these limits.

        Args:
            plugin: its name.
            unsupported: the limits that what starts it cannot hold it to, each with the reason.

        Raises:
            ConfigError: it cannot; the message names the limit, and says why.
        """
        for name, why in unsupported.items():
            if getattr(self, name) is not None:
                raise ConfigError(
                    f"plugin {plugin!r} cannot be held to its limit {name}: {why}; leave the limit out, or run the "
                    "plugin in a container (ContainerRunner)"
                )

    def explain(self, status: ExitStatus, stderr_tail: str) -> str | None:
        """Which limit ended a process, in words; `None` where none seems to have.

        Args:
            status: how it ended.
            stderr_tail: the last lines that it wrote on stderr.
        """
        if self.cpu is not None and (
            _is(status.signal_number, "SIGXCPU") or (_is(status.signal_number, "SIGKILL") and status.cpu >= self.cpu)
        ):
            return f"it used more than its CPU limit of {self.cpu} s"
        if status.code == 0:
            return None
        if self.memory is not None and (NO_MEMORY.search(stderr_tail) or status.memory >= NEARLY * self.memory):
            return f"very likely it reached its memory limit of {self.memory / MIB:g} MiB"
        if self.files is not None and NO_FILES.search(stderr_tail):
            return f"very likely it reached its limit of {self.files} open files"
        return None


def _is(number: int | None, name: str) -> bool:
    """Whether a signal, if there was one, is that of a name. Not every system has each."""
    return number is not None and number == getattr(signal, name, None)
