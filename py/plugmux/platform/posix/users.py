"""Users by number."""

from __future__ import annotations

import os

from ..interface import UserId

__all__ = ["current_user", "describe_user", "find_user", "is_superuser"]

ROOT = 0
MAX_UID_DIGITS = 10


def current_user() -> UserId:
    """The user that this process acts as."""
    return os.geteuid()


def is_superuser(user: UserId) -> bool:
    """Whether a user may do everything anyway."""
    return user == ROOT


def find_user(text: str) -> UserId:
    """The user that a person calls by name or number.

    Raises:
        KeyError: there is no such user.
    """
    import pwd

    if text.isascii() and text.isdigit() and len(text) <= MAX_UID_DIGITS:
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except ValueError:  # It has a zero byte.
        raise KeyError(text) from None


def describe_user(user: UserId) -> str:
    """A user for messages, by name where it has one."""
    import pwd

    try:
        return f"user {pwd.getpwuid(int(user)).pw_name} ({user})"
    except (KeyError, OverflowError):
        return f"user {user}"
