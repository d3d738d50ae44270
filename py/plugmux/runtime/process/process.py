"""A process on this machine: started, watched, ended. It knows nothing of plugins.

The process leads a group of its own, so that its children end with it. It is reaped only after its group has been
signalled for the last time: until then its process id cannot pass to a stranger, and no other process is ever hit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from ..logs.log import LogSource, PluginLog
from .counter import Guard
from .limits import KIB, Ending, Limits
from .output import LineReader, Tail

__all__ = ["Process"]

DRAIN_TIME = 0.5
"""Seconds that output is still read after the process has ended, where a grandchild holds the pipes open."""

STANDARD_FDS = (0, 1, 2)


class Process:
    """One run of a program.

    Args:
        pid: the process id.
        readers: read what it prints; with them it leads a group of its own.
        tail: the last lines that it has written on stderr.
        limits: what it may use; those that the kernel keeps hold already.

    Attributes:
        pid: the process id; the process group has the same.
        exit_code: the exit status, `None` while it runs or when a signal ended it.
        signal_number: the signal that ended it, if one did.
    """

    outlives = False

    def __init__(self, pid: int, readers: Sequence[LineReader], tail: Tail, limits: Limits) -> None:
        self.pid = pid
        self.exit_code: int | None = None
        self.signal_number: int | None = None
        self._tail = tail
        self._readers = readers
        self._limits = limits
        self._used: resource.struct_rusage | None = None
        self._exited = asyncio.Event()
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:  # As a rule, no descriptor is left. What cannot be watched is not left to run.
            self.kill()
            os.waitpid(pid, 0)
            raise
        self._guard = None if limits.processes is None else Guard(pid, limits.processes)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @classmethod
    async def spawn(
        cls,
        argv: list[str],
        environ: Mapping[str, str],
        log: PluginLog | None,
        *,
        inherited: Mapping[int, int] | None = None,
        limits: Limits = Limits(),  # noqa: B008 -- it is frozen
    ) -> Self:
        """Start a program.

        Args:
            argv: the path of the program, and its arguments.
            environ: its environment.
            log: takes what it prints; without one it has this process' own stdin, stdout, stderr and process group.
            inherited: the descriptors of this process that it has, by the number that each has there.
            limits: see above.

        Raises:
            OSError: it could not be started.

        Where it fails or is cancelled, nothing is left of it: the pipes end with their other ends.
        """
        tail, readers = Tail(), list[LineReader]()
        with contextlib.ExitStack() as theirs:
            wanted = dict(inherited or {})
            if log is not None:
                wanted[0] = os.open(os.devnull, os.O_RDONLY)
                theirs.callback(os.close, wanted[0])
                for fd, source, kept in ((1, LogSource.STDOUT, None), (2, LogSource.STDERR, tail)):
                    pipe, wanted[fd] = os.pipe()
                    theirs.callback(os.close, wanted[fd])
                    readers.append(LineReader(log, source, kept))
                    await asyncio.shield(_read(pipe, readers[-1]))  # uvloop loses a pipe where this is cancelled.
            # From here on nothing is awaited: a start that is cancelled leaves no process.
            pid = os.posix_spawn(  # noqa: ASYNC221 -- returns as soon as the program is loaded
                argv[0],
                argv,
                environ,
                file_actions=[
                    *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable_fds() - wanted.keys()),
                    *((os.POSIX_SPAWN_DUP2, source, target) for target, source in _out_of_the_way(wanted, theirs)),
                ],
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
                setsigmask=[],
                **({"setpgroup": 0} if readers else {}),  # type: ignore[arg-type]
            )
            return cls(pid, readers, tail, limits)

    def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._signal_group(signal.SIGKILL)
        if self._guard is not None:
            self._guard.stop()
        _, status, self._used = os.wait4(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            self.signal_number = -code
        else:
            self.exit_code = code
        self._exited.set()

    @property
    def running(self) -> bool:
        """Whether the process has not been reaped yet."""
        return not self._exited.is_set()

    @property
    def last_words(self) -> str:
        """The last lines that it wrote on stderr."""
        return str(self._tail)

    async def wait(self) -> None:
        """Wait for the process to end and for the last of its output."""
        await self._exited.wait()
        ends = [reader.ended for reader in self._readers]
        if ends:
            await asyncio.wait(ends, timeout=DRAIN_TIME)
        for reader in self._readers:
            reader.close()

    def terminate(self) -> None:
        """Ask the process and its group to end."""
        self._signal_group(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and its group at once."""
        self._signal_group(signal.SIGKILL)

    def diagnose(self) -> None:
        """Ask the process alone, not its children, where its threads stand."""
        if self.running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGQUIT)

    def _signal_group(self, number: signal.Signals) -> None:
        if not self.running:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._readers:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    @property
    def over_limit(self) -> str | None:
        """The limit that ended it, in words; `None` where none seems to have."""
        if self._guard is not None and self._guard.verdict is not None:
            return self._guard.verdict
        if self._used is None:
            return None
        cpu, memory = self._used.ru_utime + self._used.ru_stime, self._used.ru_maxrss * KIB
        return self._limits.explain(Ending(self.exit_code, self.signal_number, cpu, memory, self.last_words))


async def _read(pipe: int, reader: LineReader) -> None:
    await asyncio.get_running_loop().connect_read_pipe(lambda: reader, os.fdopen(pipe, "rb", 0))


def _out_of_the_way(wanted: Mapping[int, int], theirs: contextlib.ExitStack) -> Iterator[tuple[int, int]]:
    """What to copy to which number, from behind all of these: else it could be overwritten before it is copied."""
    import fcntl

    last = max(wanted, default=0)
    for target, source in wanted.items():
        if source > last:
            yield target, source
            continue
        moved = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, last + 1)
        theirs.callback(os.close, moved)
        yield target, moved


def _inheritable_fds() -> set[int]:
    """Descriptors beyond the standard three that a child would get by accident: such as this process got itself."""
    found = set()
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            if int(name) > max(STANDARD_FDS) and os.get_inheritable(int(name)):
                found.add(int(name))
    return found
