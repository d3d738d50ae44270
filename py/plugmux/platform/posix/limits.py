"""What the kernel can limit: descriptors of this process, memory, processor time and files of others.

A limit of a program is set by a shell (`ulimit`) that then becomes the program: no instruction of it runs without.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping

from ..interface import CPU_GRACE, ResourceLimits

__all__ = ["MAXRSS_UNIT", "descriptor_limit", "limit_commands", "unsupported_limits"]

KIB = 1024
MAXRSS_UNIT = 1 if sys.platform == "darwin" else KIB
"""Bytes that a 1 in `ru_maxrss` stands for."""


def descriptor_limit() -> int | None:
    """How many descriptors this process may have open; `None` without a limit."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if most == resource.RLIM_INFINITY else most


def unsupported_limits() -> Mapping[str, str]:
    """The limits that this system cannot hold a plugin to, by name, each with the reason."""
    if sys.platform.startswith("linux"):
        return {}
    return {
        "memory": "the kernel of this system does not hold a process to RLIMIT_DATA",
        "processes": "this system has no /proc by which the processes of a plugin are counted",
    }


def limit_commands(limits: ResourceLimits) -> list[str]:
    """What a POSIX shell is told, so that the program it becomes has the limits.

    A limit that this process has itself is not raised: the tighter one holds.
    """
    commands = []
    if limits.memory is not None:
        commands.append(f"ulimit -d {_at_most(limits.memory, resource.RLIMIT_DATA) // KIB}")
    if limits.cpu is not None:
        commands.append(f"ulimit -t {_at_most(limits.cpu + CPU_GRACE, resource.RLIMIT_CPU)}")
        commands.append(f"ulimit -S -t {_at_most(limits.cpu, resource.RLIMIT_CPU)}")
    if limits.files is not None:
        commands.append(f"ulimit -n {_at_most(limits.files, resource.RLIMIT_NOFILE)}")
    return commands


def _at_most(value: int, kind: int) -> int:
    _, hard = resource.getrlimit(kind)
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
