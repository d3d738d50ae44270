"""Files and directories whose path no other user can change.

Whoever may write a plugin, or a directory on the way to it, runs as the user who starts it. So a path is walked from
the root, by descriptors: every directory, every hop of every link, and the file itself must belong to this user or to
root, and neither group nor others may write it. In a directory with the sticky bit, such as /tmp, others may add
entries and cannot touch those of anybody else: there it is the entry that counts. Of a path that has passed nobody but
this user and root can change any part, so that nothing of it need be looked at again before it is used.

A link's own mode says nothing, and only its owner is looked at. An access control list that lets others write shows in
the mode's bits for the group.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from contextlib import ExitStack
from typing import TypeAlias

from ..interface import TrustedFile, UntrustedPath

__all__ = ["check_directory", "open_directory", "open_trusted_file"]

AnyPath: TypeAlias = "str | os.PathLike[str]"

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
MAX_LINKS = 40
"""Links that a path may lead through, as in the kernel."""

PRIVATE_DIRECTORY = 0o700
O_PATH: int | None = getattr(os, "O_PATH", None)
"""Linux alone opens a file for nothing but to look at it. Elsewhere directories are opened for reading, and the status
of files and links is taken by name: the directory that they lie in has been checked, so that nobody else can swap them.
"""

LOOK = os.O_NOFOLLOW | os.O_CLOEXEC
READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_trusted_file(path: AnyPath) -> TrustedFile:
    """Open a regular file whose path no other user can change.

    Raises:
        UntrustedPath: another user can.
        OSError: there is no such file, it cannot be read, or is no regular file (`EINVAL`).
    """
    with ExitStack() as opened:
        walk = _Walk(opened)
        walk.follow(os.fspath(path))
        if not stat.S_ISREG(walk.status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
        try:
            fd = os.open(walk.name, READ_FILE, dir_fd=walk.parent)
        except OSError as error:
            raise _at(error, walk.path) from None
        return TrustedFile(fd, walk.path, bool(walk.parent_status.st_mode & WRITABLE_BY_OTHERS))


def open_directory(path: AnyPath, *, make: bool = False, shared: bool = False) -> int:
    """Open a directory whose path no other user can change.

    Args:
        path: the directory.
        make: whether directories that are missing are made, for this user alone.
        shared: whether others may add entries to it, where it is a sticky one.

    Returns:
        A descriptor, open for reading, which is the caller's to close.

    Raises:
        UntrustedPath: another user can.
        OSError: there is no such directory, or it cannot be read or made.
    """
    with ExitStack() as opened:
        walk = _Walk(opened, make=make)
        walk.follow(os.fspath(path))
        if not stat.S_ISDIR(walk.status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), walk.path)
        if not shared:
            _check_mode(walk.status, walk.path, sticky_is_good=False)
        try:
            return os.open(".", READ_DIRECTORY, dir_fd=walk.here)
        except OSError as error:
            raise _at(error, walk.path) from None


def check_directory(path: AnyPath, *, make: bool = False, shared: bool = False) -> None:
    """Check that no other user can change a directory's path. (See `open_directory`.)

    Raises:
        UntrustedPath: another user can.
        OSError: there is no such directory, or it cannot be read or made.
    """
    os.close(open_directory(path, make=make, shared=shared))


class _Walk:
    """A walk along a path; descriptors of what has been passed are open until the stack closes them.

    Attributes:
        path: where it has come to, without links.
        here: the descriptor of that.
        status: its status.
        parent: the directory that it lies in.
        parent_status: the status of that.
        name: its name there.
    """

    def __init__(self, opened: ExitStack, *, make: bool = False) -> None:
        self._opened = opened
        self._make = make
        self._links = 0
        self._to_root()

    def follow(self, path: str) -> None:
        """Go along a path; a relative one begins in the current directory."""
        pending = deque(os.path.join(os.getcwd(), path).split("/"))
        while pending:
            name = pending.popleft()
            if name not in ("", "."):
                pending.extendleft(reversed(self._step(name)))

    def _to_root(self) -> None:
        self.here = self.parent = self._keep(os.open("/", (O_PATH or os.O_RDONLY) | LOOK | os.O_DIRECTORY))
        self.status = self.parent_status = os.fstat(self.here)
        self.path, self.name = "/", "."
        _check(self.status, self.path)

    def _step(self, name: str) -> list[str]:
        """Go to an entry of the present directory; where that is a link, stay, and return the parts of its target."""
        fd, status = self._open(name)
        path = os.path.dirname(self.path) if name == ".." else os.path.join(self.path, name)
        _check(status, path)
        if stat.S_ISLNK(status.st_mode):
            return self._target(name, fd, path)
        self.parent, self.parent_status, self.name = self.here, self.status, name
        self.here, self.status, self.path = fd, status, path
        return []

    def _open(self, name: str) -> tuple[int, os.stat_result]:
        try:
            return self._look(name)
        except FileNotFoundError as error:
            if not self._make:
                raise _at(error, os.path.join(self.path, name)) from None
        except OSError as error:
            raise _at(error, os.path.join(self.path, name)) from None
        try:
            os.mkdir(name, PRIVATE_DIRECTORY, dir_fd=self.here)
        except FileExistsError:
            pass  # Somebody has been faster; whose it is the walk sees.
        except OSError as error:
            raise _at(error, os.path.join(self.path, name)) from None
        return self._look(name)

    def _look(self, name: str) -> tuple[int, os.stat_result]:
        """A descriptor of an entry, -1 of what is no directory where that needs none, and its status."""
        if O_PATH is not None:
            fd = self._keep(os.open(name, O_PATH | LOOK, dir_fd=self.here))
            return fd, os.fstat(fd)
        if self.here < 0:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        status = os.stat(name, dir_fd=self.here, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            return -1, status
        fd = self._keep(os.open(name, READ_DIRECTORY | LOOK, dir_fd=self.here))
        return fd, os.fstat(fd)

    def _target(self, name: str, fd: int, path: str) -> list[str]:
        self._links += 1
        if self._links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(name, dir_fd=self.here) if fd < 0 else os.readlink("", dir_fd=fd)
        if target.startswith("/"):
            self._to_root()
        return target.split("/")

    def _keep(self, fd: int) -> int:
        self._opened.callback(os.close, fd)
        return fd


def _at(error: OSError, path: str) -> OSError:
    """The same error, with a path that tells a person more than the name of an entry."""
    return type(error)(error.errno, error.strerror, path)


def _check(status: os.stat_result, path: str) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise UntrustedPath(f"{path} belongs to another user ({status.st_uid})")
    if not stat.S_ISLNK(status.st_mode):
        _check_mode(status, path, sticky_is_good=stat.S_ISDIR(status.st_mode))


def _check_mode(status: os.stat_result, path: str, *, sticky_is_good: bool) -> None:
    if status.st_mode & WRITABLE_BY_OTHERS and not (sticky_is_good and status.st_mode & stat.S_ISVTX):
        raise UntrustedPath(f"{path} can be written by others (mode {stat.S_IMODE(status.st_mode):o})")
