"""Which files may be run: those whose path no other user can change, and whose checksum is the one that is known.

The file that is run, what else speaks for it (its manifest), and the plugin directory are walked to from the root (see
`platform`). What lies beside a script is run with it, as an interpreter imports from its directory:
so a script's own directory must be one that others cannot add to, while a compiled program may lie in a sticky one.

A checksum is taken of the file that is open at that time. When the plugin has been started, its path must still lead to
that file, unchanged since (device, inode, size, times of modification and of change): a plugin whose file was swapped
in between is ended at once. Other users could not have swapped it. What this cannot see is a change after the start, by
the user or by root, to a script that its interpreter has still to read.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ..errors import PluginCause, PluginError
from ..platform import BINARY_FORMATS, TrustedFile, UntrustedPath, check_directory, open_trusted_file
from ..runtime.logs.log import PluginLog
from ..runtime.process.local import LocalRun, LocalRunner
from ..runtime.process.run import Run
from ..runtime.source import Launch, Runner

__all__ = ["FileCheck", "GuardedRunner", "FailedRunner"]

BLOCK = 1 << 20
"""Bytes that are read at a time; between two the event loop gets its turn."""

_Identity: TypeAlias = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What is checked of a plugin's files at each start.

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
        """Check all of it.

        Returns:
            What tells the file that was checked from another.

        Raises:
            PluginError: it is not.
        """
        try:
            check_directory(self.directory)
            for file in self.files[1:]:
                os.close(open_trusted_file(file).fd)
            program = open_trusted_file(self.files[0])
            try:
                return await self._check_program(program)
            finally:
                os.close(program.fd)
        except UntrustedPath as error:
            raise PluginError(self.plugin, PluginCause.UNTRUSTED, str(error)) from None
        except OSError as error:
            raise PluginError(
                self.plugin, PluginCause.NOT_FOUND, f"{error.filename} cannot be read: {error.strerror}"
            ) from None

    async def _check_program(self, program: TrustedFile) -> _Identity:
        before = _identity(os.fstat(program.fd))
        if program.shared and not os.pread(program.fd, 4, 0).startswith(BINARY_FORMATS):
            raise UntrustedPath(
                f"{os.path.dirname(program.path)} can be written by others, and what lies beside the script "
                f"{os.path.basename(program.path)} is run with it"
            )
        if self.checksum:
            await self._check_sum(program.fd)
        if _identity(os.fstat(program.fd)) != before:
            raise self._swapped()
        return before

    def check_unchanged(self, identity: _Identity) -> None:
        """Check that the file's path still leads to the file that was checked.

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

    async def _check_sum(self, fd: int) -> None:
        import hashlib

        digest = hashlib.sha256()
        while block := os.read(fd, BLOCK):
            digest.update(block)
            await asyncio.sleep(0)
        if digest.hexdigest() != self.checksum:
            raise PluginError(
                self.plugin,
                PluginCause.CHECKSUM,
                f"{self.files[0]} has the checksum sha256:{digest.hexdigest()}, and the manifest {self.manifest} says: "
                f"checksum = sha256:{self.checksum}",
            )


class GuardedRunner(LocalRunner):
    """Starts plugins as processes of this machine, each after a check. (See `Runner`.)

    Args:
        file_check: what is checked.
    """

    def __init__(self, file_check: FileCheck) -> None:
        self.file_check = file_check

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> LocalRun:
        """Check the plugin's files, and start the program."""
        identity = await self.file_check.check()
        run = await super().start(launch, timeout, log)
        try:
            self.file_check.check_unchanged(identity)
        except BaseException:
            run.kill()
            await run.wait()
            raise
        return run


class FailedRunner(Runner):
    """Starts nothing and raises an error: what was found cannot be used. (See `Runner`.)

    Args:
        error: why.
    """

    def __init__(self, error: PluginError) -> None:
        self.error = error

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> Run:
        """Raise the reason why the plugin cannot be started."""
        raise self.error


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
