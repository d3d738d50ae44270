"""What can be limited: nothing that a plugin is held to by the resource limits of Unix."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["descriptor_limit", "unsupported_limits"]


def descriptor_limit() -> int | None:
    """How many descriptors this process may have open; `None` without a limit."""
    return None


def unsupported_limits() -> Mapping[str, str]:
    """The limits that this system cannot hold a plugin to, by name, each with the reason."""
    return {
        "memory": "Windows has no RLIMIT_DATA",
        "cpu": "Windows has no RLIMIT_CPU",
        "files": "Windows has no RLIMIT_NOFILE",
        "processes": "Windows has no /proc by which the processes of a plugin are counted",
    }
