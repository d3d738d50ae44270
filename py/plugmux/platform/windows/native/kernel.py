"""Windows' functions that Python has not, with the types of their arguments.

Each raises `OSError` with the system's number and text where it fails.
"""

from __future__ import annotations

import ctypes
from ctypes import wintypes
from typing import Any

__all__ = [
    "BasicLimits",
    "ExtendedLimits",
    "SecurityAttributes",
    "advapi32",
    "check",
    "kernel32",
    "local_text",
    "ntdll",
    "open_handle",
]

kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
ntdll = ctypes.WinDLL("ntdll")

INVALID_HANDLE = ctypes.c_void_p(-1).value


class SecurityAttributes(ctypes.Structure):
    """SECURITY_ATTRIBUTES."""

    _fields_ = [
        ("length", wintypes.DWORD),
        ("descriptor", ctypes.c_void_p),
        ("inherit", wintypes.BOOL),
    ]


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = [
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", wintypes.DWORD),
        ("least_working_set", ctypes.c_size_t),
        ("most_working_set", ctypes.c_size_t),
        ("active_processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priority", wintypes.DWORD),
        ("scheduling", wintypes.DWORD),
    ]


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = [
        ("basic", BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    ]


def check(done: Any) -> Any:
    """What a function has returned, if that is not zero.

    Raises:
        OSError: it is zero; why the system has said.
    """
    if not done:
        raise ctypes.WinError(ctypes.get_last_error())
    return done


def open_handle(handle: int | None) -> int:
    """A handle that a function has returned.

    Raises:
        OSError: there is none.
    """
    if handle is None or handle == INVALID_HANDLE:
        raise ctypes.WinError(ctypes.get_last_error())
    return handle


def local_text(pointer: Any) -> str:
    """A text that the system has allocated, which is freed."""
    text = str(pointer.value)
    kernel32.LocalFree(pointer)
    return text


def _declare() -> None:
    handle, dword, text, pointer = wintypes.HANDLE, wintypes.DWORD, wintypes.LPCWSTR, ctypes.c_void_p
    declared: tuple[tuple[Any, Any, tuple[Any, ...]], ...] = (
        (kernel32.AssignProcessToJobObject, wintypes.BOOL, (handle, handle)),
        (kernel32.CancelIoEx, wintypes.BOOL, (handle, pointer)),
        (kernel32.CloseHandle, wintypes.BOOL, (handle,)),
        (kernel32.CreateFileW, handle, (text, dword, dword, pointer, dword, dword, handle)),
        (kernel32.CreateJobObjectW, handle, (pointer, text)),
        (kernel32.CreateNamedPipeW, handle, (text, dword, dword, dword, dword, dword, dword, pointer)),
        (kernel32.GenerateConsoleCtrlEvent, wintypes.BOOL, (dword, dword)),
        (kernel32.GetConsoleCP, wintypes.UINT, ()),
        (kernel32.GetCurrentProcess, handle, ()),
        (kernel32.GetExitCodeProcess, wintypes.BOOL, (handle, pointer)),
        (kernel32.GetFileType, dword, (handle,)),
        (kernel32.GetNamedPipeClientProcessId, wintypes.BOOL, (handle, pointer)),
        (kernel32.GetNamedPipeServerProcessId, wintypes.BOOL, (handle, pointer)),
        (kernel32.GetProcessTimes, wintypes.BOOL, (handle, pointer, pointer, pointer, pointer)),
        (kernel32.LocalFree, handle, (pointer,)),
        (kernel32.OpenProcess, handle, (dword, wintypes.BOOL, dword)),
        (kernel32.QueryFullProcessImageNameW, wintypes.BOOL, (handle, dword, wintypes.LPWSTR, pointer)),
        (kernel32.SetInformationJobObject, wintypes.BOOL, (handle, ctypes.c_int, pointer, dword)),
        (kernel32.TerminateJobObject, wintypes.BOOL, (handle, wintypes.UINT)),
        (kernel32.TerminateProcess, wintypes.BOOL, (handle, wintypes.UINT)),
        (kernel32.WaitForSingleObject, dword, (handle, dword)),
        (advapi32.ConvertSidToStringSidW, wintypes.BOOL, (pointer, pointer)),
        (advapi32.ConvertStringSidToSidW, wintypes.BOOL, (text, pointer)),
        (
            advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW,
            wintypes.BOOL,
            (text, dword, pointer, pointer),
        ),
        (advapi32.GetAce, wintypes.BOOL, (pointer, dword, pointer)),
        (
            advapi32.GetNamedSecurityInfoW,
            dword,
            (text, ctypes.c_int, dword, pointer, pointer, pointer, pointer, pointer),
        ),
        (advapi32.GetTokenInformation, wintypes.BOOL, (handle, ctypes.c_int, pointer, dword, pointer)),
        (advapi32.LookupAccountNameW, wintypes.BOOL, (text, text, pointer, pointer, pointer, pointer, pointer)),
        (advapi32.LookupAccountSidW, wintypes.BOOL, (text, pointer, pointer, pointer, pointer, pointer, pointer)),
        (advapi32.OpenProcessToken, wintypes.BOOL, (handle, dword, pointer)),
        (ntdll.NtQueryInformationFile, ctypes.c_long, (handle, pointer, pointer, wintypes.ULONG, ctypes.c_int)),
        (ntdll.NtResumeProcess, ctypes.c_long, (handle,)),
    )
    for function, result, arguments in declared:
        function.restype, function.argtypes = result, arguments


_declare()
