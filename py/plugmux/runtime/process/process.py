"""A process on this machine: started, watched, ended. It knows nothing of plugins.

The process leads a group of its own, so that its children end with it. It is reaped only after its group has been
signalled for the last time: until then its process id cannot pass to a stranger, and no other process is ever hit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Self

from ..logs.log import LogSource, PluginLog
from .output import LineReader, Tail

if TYPE_CHECKING:
    from .counter import ProcessLimit
    from .limits import Limits

__all__ = ["Process"]

logger = logging.getLogger("plugmux.runtime")

DRAIN_TIME = 0.5
"""Seconds that output is still read after the process has ended, where a grandchild holds the pipes open."""

STANDARD_FDS = (0, 1, 2)


class Process:
    """One run of a program.

    Args:
        pid: the process id.
        readers: read what it prints; with them it leads a group of its own.
        tail: the last lines that it has written on stderr.
        limits: what it may use, `None` for all; those that the kernel keeps hold already.

    Attributes:
        pid: the process id; the process group has the same.
        exit_code: the exit status, `None` while it runs or when a signal ended it.
        signal_number: the signal that ended it, if one did.
    """

    def __init__(self, pid: int, readers: Sequence[LineReader], tail: Tail, limits: Limits | None) -> None:
        self.pid = pid
        self.exit_code: int | None = None
        self.signal_number: int | None = None
        self._tail = tail
        self._readers = readers
        self._limits = limits
        self._used: resource.struct_rusage | None = None
        self._exited = asyncio.Event()
        self._guard: ProcessLimit | None = None
        self._pidfd = os.pidfd_open(pid)
        try:
            if limits is not None and limits.processes is not None:
                from .counter import ProcessLimit

                self._guard = ProcessLimit(pid, limits.processes)
            asyncio.get_running_loop().add_reader(self._pidfd, self._reap)
        except BaseException:
            self._unwatch()
            raise

    @classmethod
    async def spawn(
        cls,
        argv: list[str],
        environ: Mapping[str, str],
        log: PluginLog | None,
        *,
        inherited: Mapping[int, int] | None = None,
        limits: Limits | None = None,
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
                    readers.append(LineReader(log, source, kept))
                    pipe, wanted[fd] = os.pipe()
                    theirs.callback(os.close, wanted[fd])
                    file = os.fdopen(pipe, "rb", 0)
                    try:
                        await _read(file, readers[-1])
                    except Exception:
                        readers[-1].discard(file)
                        raise
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
            try:
                return cls(pid, readers, tail, limits)
            except BaseException:  # As a rule, no descriptor is left. What cannot be watched is not left to run.
                _end_unwatched(pid, group=bool(readers))
                raise

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        try:
            self._end_group()
            _, status, self._used = os.wait4(self.pid, 0)
        except ChildProcessError:
            logger.warning(
                "how process %d has ended cannot be told: this process ignores SIGCHLD, or waits for its children "
                "elsewhere as well",
                self.pid,
            )
        else:
            code = os.waitstatus_to_exitcode(status)
            if code < 0:
                self.signal_number = -code
            else:
                self.exit_code = code
        finally:
            self._exited.set()
            self._unwatch()

    def _end_group(self) -> None:
        """End what is left in its group, unless its id may have passed to a stranger.

        Raises:
            ChildProcessError: it has been reaped already, by somebody else.
        """
        try:
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            if not os.path.exists(f"/proc/{self.pid}"):  # Nobody has the id yet: the group can only be the old one.
                self._signal(signal.SIGKILL)
            raise
        self._signal(signal.SIGKILL)

    def _unwatch(self) -> None:
        if self._guard is not None:
            self._guard.stop()
        os.close(self._pidfd)

    @property
    def running(self) -> bool:
        """Whether the process has not been reaped yet."""
        return not self._exited.is_set()

    @property
    def stderr_tail(self) -> str:
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
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and its group at once."""
        self._signal(signal.SIGKILL)

    def diagnose(self) -> None:
        """Ask the process alone, not its children, where its threads stand."""
        if self.running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGQUIT)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the group, and the process itself where it has left the group, or never led one."""
        if not self.running:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not self._readers or os.getpgid(self.pid) != self.pid:
                signal.pidfd_send_signal(self._pidfd, number)
        if self._readers:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    @property
    def over_limit(self) -> str | None:
        """The limit that ended it, in words; `None` where none seems to have."""
        if self._guard is not None and self._guard.verdict is not None:
            return self._guard.verdict
        if self._used is None or self._limits is None:
            return None
        from .limits import KIB, Ending

        cpu, memory = self._used.ru_utime + self._used.ru_stime, self._used.ru_maxrss * KIB
        return self._limits.explain(Ending(self.exit_code, self.signal_number, cpu, memory, self.stderr_tail))


def _end_unwatched(pid: int, *, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # Where SIGCHLD is ignored nothing is left to reap.
        os.waitpid(pid, 0)


async def _read(pipe: IO[bytes], reader: LineReader) -> None:
    connecting = asyncio.get_running_loop().connect_read_pipe(lambda: reader, pipe)
    await asyncio.shield(connecting)  # uvloop loses a pipe where this is cancelled.


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
