"""Files and directories whose path no other user can change, by their access control lists.

Each part of a path must belong to this user, to the system or to the administrators, and its list must let no other
user replace it: delete it or what lies in it, or change its owner or its list. As in a sticky directory of Unix, others
may add entries to the directories on the way (every user may to `C:\\`); they may not to the directory that is asked
for.

What cannot be checked is refused: a path in the network, one that leads through a link or another reparse point, and a
file system without access control lists.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from ctypes import wintypes
from dataclasses import dataclass
from typing import TypeAlias

from ..interface import TrustedFile, UntrustedPath
from .native.kernel import advapi32, check, kernel32
from .users import current_user, describe_user, sid_text

__all__ = ["check_directory", "open_trusted_file"]

AnyPath: TypeAlias = "str | os.PathLike[str]"

SE_FILE_OBJECT = 1
OWNER_AND_LIST = 0x1 | 0x4
ALLOWED_ACES = (0, 5, 9, 11)
"""ACCESS_ALLOWED_ACE_TYPE, and those with an object or a condition, which are taken for unconditional."""

PLAIN_ALLOWED_ACE, PLAIN_CALLBACK_ACE = 0, 9
INHERIT_ONLY = 0x8
ADD_ENTRIES = 0x2 | 0x4
REPLACE = 0x40 | 0x1_0000 | 0x4_0000 | 0x8_0000 | 0x1000_0000
"""FILE_DELETE_CHILD, DELETE, WRITE_DAC, WRITE_OWNER, GENERIC_ALL."""

WRITE = ADD_ENTRIES | REPLACE | 0x4000_0000
TRUSTED = frozenset(
    (
        "S-1-5-18",  # the system
        "S-1-5-32-544",  # the administrators
        "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",  # the installer of Windows
        "S-1-3-0",  # stands for the owner of what is made in a directory
    )
)


@dataclass(frozen=True, slots=True)
class _Access:
    """Who owns an entry, and what others may do to it: SIDs by right."""

    owner: str
    others: tuple[tuple[str, int], ...]


def open_trusted_file(path: AnyPath) -> TrustedFile:
    """Open a regular file whose path no other user can change.

    Raises:
        UntrustedPath: another user can.
        OSError: there is no such file, it cannot be read, or is no regular file (`EINVAL`).
    """
    whole = os.path.abspath(path)
    _check_way(os.path.dirname(whole))
    _check_entry(whole, WRITE)
    fd = os.open(whole, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", whole)
        shared = any(rights & ADD_ENTRIES for _, rights in _access(os.path.dirname(whole)).others)
        return TrustedFile(fd, whole, shared)
    except BaseException:
        os.close(fd)
        raise


def check_directory(path: AnyPath, *, make: bool = False, shared: bool = False) -> None:
    """Check that no other user can change the path of a directory, or write in it.

    Args:
        path: the directory.
        make: whether directories that are missing are made; they have the list of that which they lie in.
        shared: whether others may add entries to it.

    Raises:
        UntrustedPath: another user can.
        OSError: there is no such directory, or it cannot be read or made.
    """
    whole = os.path.abspath(path)
    list(_parts(whole))
    if make:
        os.makedirs(whole, exist_ok=True)
    if not os.path.isdir(whole):
        raise OSError(errno.ENOTDIR if os.path.exists(whole) else errno.ENOENT, "it is no directory", whole)
    _check_way(os.path.dirname(whole))
    _check_entry(whole, REPLACE if shared else WRITE)


def _check_way(directory: str) -> None:
    for part in _parts(directory):
        _check_entry(part, REPLACE)


def _parts(path: str) -> Iterator[str]:
    """A directory and those that it lies in, from the root of its drive on.

    Raises:
        UntrustedPath: it is not on a drive of this machine.
    """
    drive, rest = os.path.splitdrive(path)
    if drive.startswith("\\\\?\\") and not drive.upper().startswith("\\\\?\\UNC"):
        drive = drive[4:]
    if not (len(drive) == 2 and drive[1] == ":"):
        raise UntrustedPath(f"{path} is not on a drive of this machine, and whose it is cannot be checked")
    whole = drive + "\\"
    yield whole
    for name in filter(None, rest.split("\\")):
        whole = os.path.join(whole, name)
        yield whole


def _check_entry(path: str, rights: int) -> None:
    status = os.lstat(path)
    if status.st_file_attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT:
        raise UntrustedPath(f"{path} leads elsewhere, which is not checked on Windows: name the place it leads to")
    access = _access(path)
    if not _is_trusted(access.owner):
        raise UntrustedPath(f"{path} belongs to another user ({describe_user(access.owner)})")
    for sid, granted in access.others:
        if granted & rights:
            raise UntrustedPath(f"{path} can be changed by {describe_user(sid)} (access {granted & rights:#x})")


def _is_trusted(sid: str) -> bool:
    return sid == current_user() or sid in TRUSTED


def _access(path: str) -> _Access:
    """The owner of an entry, and what its list allows to others.

    Raises:
        UntrustedPath: it has no list, so that everybody may do everything.
        OSError: the system does not tell.
    """
    owner, dacl, descriptor = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    failed = advapi32.GetNamedSecurityInfoW(
        path,
        SE_FILE_OBJECT,
        OWNER_AND_LIST,
        ctypes.byref(owner),
        None,
        ctypes.byref(dacl),
        None,
        ctypes.byref(descriptor),
    )
    if failed:
        raise OSError(errno.EACCES, ctypes.FormatError(failed), path)
    try:
        if not dacl.value or not owner.value:
            raise UntrustedPath(f"{path} has no access control list, so that every user may change it")
        found = ((sid, rights) for sid, rights in _allowed(dacl.value, path) if not _is_trusted(sid))
        return _Access(sid_text(owner.value), tuple(found))
    finally:
        kernel32.LocalFree(descriptor)


def _allowed(dacl: int, path: str) -> Iterator[tuple[str, int]]:
    """What the entries of a list allow, and to whom. What others deny is not deducted: that refuses too much at worst.

    Raises:
        UntrustedPath: an entry is of a form that is not known here.
    """
    count = wintypes.WORD.from_address(dacl + 4).value
    for index in range(count):
        ace = ctypes.c_void_p()
        check(advapi32.GetAce(dacl, index, ctypes.byref(ace)))
        address = ace.value or 0
        kind, flags = wintypes.BYTE.from_address(address).value, wintypes.BYTE.from_address(address + 1).value
        if kind not in ALLOWED_ACES or flags & INHERIT_ONLY:
            continue
        if kind not in (PLAIN_ALLOWED_ACE, PLAIN_CALLBACK_ACE):
            raise UntrustedPath(f"the access control list of {path} has an entry of type {kind}, which is not checked")
        yield sid_text(address + 8), wintypes.DWORD.from_address(address + 4).value
