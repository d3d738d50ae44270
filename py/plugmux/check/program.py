"""A program under check: started with the descriptors of a link, watched, and ended with all that it has started.

What it prints goes to temporary files, so that nothing here has to read along. The program leads a session of its own,
by which what it leaves behind is found. It is reaped at the very end: until then its process id is nobody else's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ..contract.launch import FIRST_FREE_FD
from ..platform import open_process

__all__ = ["PluginRun"]

MAX_OUTPUT = 4 * 1024 * 1024
"""Bytes of what a program prints that are looked at."""

MOVED = 64
"""Descriptors are copied to numbers from here on, out of the way of those that the program gets."""


class PluginRun:
    """One run of the plugin's program.

    Args:
        pid: its process id, which is that of its session and group too.
        stdout: the file that it prints to, `None` where it has been given another.
        stderr: the file for its errors.
    """

    def __init__(self, pid: int, stdout: IO[bytes] | None, stderr: IO[bytes]) -> None:
        self.pid = pid
        self._stdout = stdout
        self._stderr = stderr
        self._exited = asyncio.Event()
        self._process = open_process(pid)
        self._process.on_exit(self._exited.set)

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        environ: Mapping[str, str],
        inherited: Sequence[int] = (),
        *,
        stdout: int | None = None,
    ) -> PluginRun:
        """Start a program.

        Args:
            argv: the path of the program, and its arguments.
            environ: its environment.
            inherited: descriptors that it gets as 3, 4 and so on.
            stdout: a descriptor for what it prints; by default a file.

        Raises:
            OSError: it could not be started.
        """
        import fcntl

        printed = tempfile.TemporaryFile() if stdout is None else None  # noqa: SIM115 -- closed with the program
        errors = tempfile.TemporaryFile()  # noqa: SIM115 -- the same
        given = [os.open(os.devnull, os.O_RDONLY), printed.fileno() if printed else stdout or 0, errors.fileno()]
        wanted = dict(enumerate(given)) | dict(enumerate(inherited, FIRST_FREE_FD))
        moved = {target: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, MOVED) for target, fd in wanted.items()}
        try:
            pid = os.posix_spawn(
                argv[0],
                list(argv),
                environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for target, source in moved.items()],
                setsid=True,
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
                setsigmask=[],
            )
        finally:
            for fd in (given[0], *moved.values()):
                os.close(fd)
        return cls(pid, printed, errors)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._exited.is_set()

    @property
    def exit_status(self) -> int | None:
        """Its exit status, that of a shell where a signal ended it (128 and its number); `None` while it runs."""
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status

    async def wait(self) -> None:
        """Wait for it to end."""
        await self._exited.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        if self.running:
            self._process.send_signal(number)

    @property
    def stdout(self) -> str:
        """What it has printed."""
        return _text(self._stdout)

    @property
    def stderr(self) -> str:
        """What it has printed on stderr."""
        return _text(self._stderr)

    @property
    def stderr_tail(self) -> str:
        """Its last lines on stderr, in words that end a message."""
        lines = self.stderr.strip().splitlines()[-3:]
        return f"; its last lines on stderr: {' / '.join(lines)}" if lines else "; it printed nothing on stderr"

    def descriptors(self) -> dict[int, str]:
        """What its descriptors are, by number, as `/proc` tells."""
        found = {}
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                found[int(entry.name)] = os.readlink(entry)
            except OSError:
                continue  # It has been closed meanwhile.
        return found

    def is_passed_on(self, descriptor: int) -> bool:
        """Whether a program that it starts inherits one of its descriptors."""
        lines = Path(f"/proc/{self.pid}/fdinfo/{descriptor}").read_text().splitlines()
        flags = next(line for line in lines if line.startswith("flags:")).split()[1]
        return not int(flags, 8) & os.O_CLOEXEC

    def left_behind(self) -> list[int]:
        """The processes of its session that run, besides itself."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._started(pid)]

    def _started(self, pid: int) -> bool:
        try:
            state, *_, session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            return False
        return int(session) == self.pid != pid and state not in "ZX"

    async def close(self) -> None:
        """End it and all of its session that is left, and forget what it has printed."""
        for pid in (self.pid, *self.left_behind()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            await self._exited.wait()
        finally:
            os.waitpid(self.pid, 0)  # noqa: ASYNC222 -- it has ended
            self._process.close()
            for file in (self._stdout, self._stderr):
                if file is not None:
                    file.close()


def _text(file: IO[bytes] | None) -> str:
    if file is None:
        return ""
    return os.pread(file.fileno(), MAX_OUTPUT, 0).decode("utf-8", "replace")
