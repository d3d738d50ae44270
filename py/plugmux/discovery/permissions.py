"""Which files may be run: what the user or root owns, and nobody else can write.

Whoever may write a plugin runs as the user who starts it. So the file that is run, and every directory above it up to
the plugin directory, must belong to the user or to root, and neither group nor others may write it. Where a link leads
out of the plugin directory, the directories up to the root are held to it; there one with the sticky bit, such as
/tmp, passes, as in it nobody can put a file in the place of somebody else's.

A checksum is taken of the file that is open at that time. When the plugin has been started, its path must still lead to
that file, unchanged since (device, inode, size, times of modification and of change): a plugin whose file was swapped
in between is ended at once. What this cannot see is a change after the start, by the user or by root, to a script that
its interpreter has still to read.

Windows has neither owners nor modes in this sense: there only the checksum is checked.
"""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from ..runtime.error import PluginCause, PluginError
from ..runtime.logs.log import PluginLog
from ..runtime.process.local import LocalRun, LocalRunner
from ..runtime.process.runner import Run
from ..runtime.source import Launch

__all__ = ["Guard", "GuardedRunner", "Refusing", "check_rights"]

BLOCK = 1 << 20
"""Bytes that are read at a time; between two the event loop gets its turn."""

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_Identity: TypeAlias = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Guard:
    """What must be so of a plugin's files whenever it is started.

    Args:
        plugin: the plugin's name.
        directory: the plugin directory that it was found in.
        files: the file that is run, and behind it others that speak for it, such as its manifest.
        checksum: the SHA-256 of the first file, in hexadecimal digits; empty where none is known.
        manifest: names the manifest in an error.
    """

    plugin: str
    directory: Path
    files: tuple[Path, ...]
    checksum: str = ""
    manifest: str = ""

    async def check(self) -> _Identity:
        """See that all is so.

        Returns:
            What tells the file that was checked from another.

        Raises:
            PluginError: it is not.
        """
        try:
            for file in self.files:
                self._check_rights(file)
            with self.files[0].open("rb") as opened:
                before = _identity(os.fstat(opened.fileno()))
                if self.checksum:
                    await self._check_sum(opened)
                if _identity(os.fstat(opened.fileno())) != before:
                    raise self._swapped()
        except OSError as error:
            raise PluginError(
                self.plugin, PluginCause.NOT_FOUND, f"{error.filename} cannot be read: {error.strerror}"
            ) from None
        return before

    def check_unchanged(self, identity: _Identity) -> None:
        """See that the file's path still leads to the file that was checked.

        Raises:
            PluginError: it does not.
        """
        try:
            if _identity(os.stat(self.files[0])) == identity:
                return
        except OSError:
            pass
        raise self._swapped()

    def _swapped(self) -> PluginError:
        return PluginError(
            self.plugin, PluginCause.CHECKSUM, f"{self.files[0]} was changed between its check and its start"
        )

    async def _check_sum(self, opened: IO[bytes]) -> None:
        import hashlib

        digest = hashlib.sha256()
        while block := opened.read(BLOCK):
            digest.update(block)
            await asyncio.sleep(0)
        if digest.hexdigest() != self.checksum:
            raise PluginError(
                self.plugin,
                PluginCause.CHECKSUM,
                f"{self.files[0]} has the checksum sha256:{digest.hexdigest()}, and the manifest {self.manifest} says: "
                f"checksum = sha256:{self.checksum}",
            )

    def _check_rights(self, file: Path) -> None:
        """See who may write a file, or put another in its place: by its path, and by where links lead."""
        if not hasattr(os, "geteuid"):
            return
        top, real = self.directory.resolve(), file.resolve()
        check_rights(self.plugin, real)
        for folder in file.parents if file.is_relative_to(self.directory) else ():
            check_rights(self.plugin, folder)
            if folder == self.directory:
                break
        for folder in real.parents:
            if folder == top:
                break
            check_rights(self.plugin, folder, sticky_is_good=not real.is_relative_to(top))


def check_rights(plugin: str, path: Path, *, sticky_is_good: bool = False) -> None:
    """See that a file or directory belongs to the user or to root, and that nobody else can write it.

    Args:
        plugin: the plugin that depends on it.
        path: the file or directory.
        sticky_is_good: whether others may write a directory in which they cannot replace what is not theirs.

    Raises:
        PluginError: it is not so.
        OSError: there is no such file.
    """
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()):
        raise PluginError(plugin, PluginCause.UNTRUSTED, f"{path} belongs to another user ({status.st_uid})")
    if status.st_mode & WRITABLE_BY_OTHERS and not (sticky_is_good and status.st_mode & stat.S_ISVTX):
        mode = stat.S_IMODE(status.st_mode)
        raise PluginError(plugin, PluginCause.UNTRUSTED, f"{path} can be written by others (mode {mode:o})")


class GuardedRunner:
    """Starts plugins as processes of this machine, each after a check. (See `Runner`.)

    Args:
        guard: what must be so.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> LocalRun:
        """Check the plugin's files, and start the program."""
        identity = await self.guard.check()
        run = await LocalRunner().start(launch, timeout, log)
        try:
            self.guard.check_unchanged(identity)
        except PluginError:
            for fd in {*run.link_fds}:
                os.close(fd)
            run.kill()
            await run.wait()
            raise
        return run


class Refusing:
    """Starts nothing, and tells why: what was found cannot be used. (See `Runner`.)

    Args:
        error: why.
    """

    def __init__(self, error: PluginError) -> None:
        self.error = error

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> Run:
        """Tell why the plugin is not started."""
        raise self.error


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
