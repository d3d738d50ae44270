"""Users by security identifier (SID)."""

from __future__ import annotations

import ctypes
import functools
from ctypes import wintypes

from ..interface import UserId
from .handle import QUERY_LIMITED
from .native.kernel import advapi32, check, kernel32, local_text

__all__ = ["current_user", "describe_user", "find_user", "is_superuser", "sid_text", "user_of_process"]

SYSTEM = "S-1-5-18"
TOKEN_QUERY = 0x8
TOKEN_USER = 1
MAX_NAME = 256


@functools.cache
def current_user() -> UserId:
    """The user that this process acts as."""
    return _user_of(kernel32.GetCurrentProcess())


def is_superuser(user: UserId) -> bool:
    """Whether a user may do everything anyway."""
    return user == SYSTEM


def find_user(text: str) -> UserId:
    """The user that a person calls by name or SID.

    Raises:
        KeyError: there is no such user.
    """
    if text.upper().startswith("S-1-"):
        return text.upper()
    sid, domain = ctypes.create_string_buffer(MAX_NAME), ctypes.create_unicode_buffer(MAX_NAME)
    sizes, kind = (wintypes.DWORD(MAX_NAME), wintypes.DWORD(MAX_NAME)), wintypes.DWORD()
    if "\0" in text or not advapi32.LookupAccountNameW(
        None, text, sid, ctypes.byref(sizes[0]), domain, ctypes.byref(sizes[1]), ctypes.byref(kind)
    ):
        raise KeyError(text)
    return sid_text(ctypes.addressof(sid))


def describe_user(user: UserId) -> str:
    """A user for messages, by name where it has one."""
    sid = ctypes.c_void_p()
    if not advapi32.ConvertStringSidToSidW(str(user), ctypes.byref(sid)):
        return f"user {user}"
    name, domain = (ctypes.create_unicode_buffer(MAX_NAME) for _ in range(2))
    sizes, kind = (wintypes.DWORD(MAX_NAME), wintypes.DWORD(MAX_NAME)), wintypes.DWORD()
    try:
        known = advapi32.LookupAccountSidW(
            None, sid, name, ctypes.byref(sizes[0]), domain, ctypes.byref(sizes[1]), ctypes.byref(kind)
        )
    finally:
        kernel32.LocalFree(sid)
    return f"user {domain.value}\\{name.value} ({user})" if known else f"user {user}"


def user_of_process(pid: int) -> UserId | None:
    """The user of a process; `None` where it has ended, or this process may not know."""
    process = kernel32.OpenProcess(QUERY_LIMITED, False, pid)
    if not process:
        return None
    try:
        return _user_of(process)
    except OSError:
        return None
    finally:
        kernel32.CloseHandle(process)


def _user_of(process: int) -> UserId:
    token = wintypes.HANDLE()
    check(advapi32.OpenProcessToken(process, TOKEN_QUERY, ctypes.byref(token)))
    try:
        buffer, size = ctypes.create_string_buffer(MAX_NAME), wintypes.DWORD()
        check(advapi32.GetTokenInformation(token, TOKEN_USER, buffer, MAX_NAME, ctypes.byref(size)))
        return sid_text(ctypes.c_void_p.from_buffer(buffer).value or 0)
    finally:
        kernel32.CloseHandle(token)


def sid_text(sid: int) -> str:
    """The text of a SID at an address."""
    text = wintypes.LPWSTR()
    check(advapi32.ConvertSidToStringSidW(sid, ctypes.byref(text)))
    return local_text(text)
