"""What the system tells of a process."""

from __future__ import annotations

import ctypes
from ctypes import wintypes

from .handle import QUERY_LIMITED, SYNCHRONIZE, WAIT_OBJECT
from .native.kernel import kernel32

__all__ = ["executable", "is_stopped", "start_time", "tells_start_time"]

MAX_PATH = 32_768


def tells_start_time() -> bool:
    """Whether `start_time` can tell on this system."""
    return True


def start_time(pid: int) -> str | None:
    """When a process was started, in a form that tells it from a later one of the same id; `None` if it has ended."""
    process = kernel32.OpenProcess(QUERY_LIMITED | SYNCHRONIZE, False, pid)
    if not process:
        return None
    try:
        if kernel32.WaitForSingleObject(process, 0) == WAIT_OBJECT:
            return None
        times = [wintypes.FILETIME() for _ in range(4)]
        if not kernel32.GetProcessTimes(process, *map(ctypes.byref, times)):
            return None
        return str(times[0].dwHighDateTime << 32 | times[0].dwLowDateTime)
    finally:
        kernel32.CloseHandle(process)


def executable(pid: int) -> str | None:
    """The path of a process' program; `None` where it has ended or may not be asked."""
    process = kernel32.OpenProcess(QUERY_LIMITED, False, pid)
    if not process:
        return None
    try:
        path, size = ctypes.create_unicode_buffer(MAX_PATH), wintypes.DWORD(MAX_PATH)
        return path.value if kernel32.QueryFullProcessImageNameW(process, 0, path, ctypes.byref(size)) else None
    finally:
        kernel32.CloseHandle(process)


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped a process: never, as there is no such signal."""
    return False
