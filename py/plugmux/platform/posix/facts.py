"""What the system tells of a process: /proc on Linux, libproc on macOS, and nothing elsewhere."""

from __future__ import annotations

import functools
import os
import struct
import sys
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["executable", "is_stopped", "start_time", "tells_start_time"]

ENDED = ("Z", "X")
STOPPED = ("T", "t")
"""How /proc calls a process that has ended, and one that a signal, or a debugger, has stopped. (proc(5))"""

PROC_PIDTBSDINFO = 3
BSD_INFO = struct.Struct("=12I16s32s5Ii2Q")
"""`struct proc_bsdinfo` of macOS: its second field is the state, its last two are the start. (sys/proc_info.h)"""

SSTOP, SZOMB = 4, 5
MAX_PATH = 4096
"""Bytes that `proc_pidpath` may fill (PROC_PIDPATHINFO_MAXSIZE). (libproc.h)"""


class _Facts(NamedTuple):
    start: str
    ended: bool
    stopped: bool


def tells_start_time() -> bool:
    """Whether this system tells when a process was started."""
    return _facts(os.getpid()) is not None


def start_time(pid: int) -> str | None:
    """When a process was started, in the system's own terms: with it an id names one process alone.

    Returns:
        `None` where it has ended, or the system does not tell.
    """
    facts = _facts(pid)
    return None if facts is None or facts.ended else facts.start


def is_stopped(pid: int) -> bool:
    """Whether a signal or a debugger has stopped a process; `False` where the system does not tell."""
    facts = _facts(pid)
    return facts is not None and facts.stopped


def executable(pid: int) -> str | None:
    """The path of the program that a process runs; `None` where the system does not tell."""
    if sys.platform == "darwin":
        return _libproc_path(pid)
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def _facts(pid: int) -> _Facts | None:
    if sys.platform == "darwin":
        return _libproc_facts(pid)
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return _Facts(fields[18], state in ENDED, state in STOPPED)
    except (OSError, ValueError, IndexError):
        return None


@functools.cache
def libproc() -> Any:
    """The system library that tells of processes on macOS; `None` where it is missing."""
    import ctypes

    try:
        library = ctypes.CDLL("/usr/lib/libproc.dylib")
        library.proc_pidinfo.argtypes = [
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_uint64,
            ctypes.c_char_p,
            ctypes.c_int,
        ]
        library.proc_pidpath.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]
        library.proc_pidinfo.restype = library.proc_pidpath.restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library


def _libproc_facts(pid: int) -> _Facts | None:
    library = libproc()
    if library is None:
        return None
    import ctypes

    buffer = ctypes.create_string_buffer(BSD_INFO.size)
    if library.proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, buffer, BSD_INFO.size) != BSD_INFO.size:
        return None
    _, state, *_, seconds, microseconds = BSD_INFO.unpack(buffer.raw)
    return _Facts(f"{seconds}.{microseconds:06}", state == SZOMB, state == SSTOP)


def _libproc_path(pid: int) -> str | None:
    library = libproc()
    if library is None:
        return None
    import ctypes

    buffer = ctypes.create_string_buffer(MAX_PATH)
    length = library.proc_pidpath(pid, buffer, MAX_PATH)
    return os.fsdecode(buffer.raw[:length]) if 0 < length <= MAX_PATH else None
