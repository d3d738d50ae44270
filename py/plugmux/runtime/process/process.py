"""A process on this machine: started, watched, ended, and what it prints. It knows nothing of plugins.

Its children end with it. How it is started and ended is the system's affair (`plugmux.platform`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from ...platform import Program, close_stream, open_null, output_pipe, start_child
from ..logs.log import LogSource, PluginLog
from .output import LineReader, Tail

if TYPE_CHECKING:
    from ...platform import Child, ExitStatus
    from .counter import ProcessLimit
    from .limits import Limits

__all__ = ["Process", "StartChild"]

logger = logging.getLogger("plugmux.runtime")

OUTPUT_TIME = 0.5
"""Seconds that output is still read after the process has ended, where a grandchild holds the pipes open."""


class StartChild(Protocol):
    """Starts a program with the streams that it inherits, as `start_child` does."""

    def __call__(self, program: Program, streams: Mapping[int, int], *, lead: bool = True) -> Child: ...


class Process:
    """One run of a program.

    Args:
        child: the process.
        readers: read what it prints.
        tail: the last lines that it has written on stderr.
        limits: what it may use, `None` for all; those that the kernel keeps hold already.

    Attributes:
        pid: the process id.
    """

    def __init__(self, child: Child, readers: Sequence[LineReader], tail: Tail, limits: Limits | None) -> None:
        self.pid = child.pid
        self._child = child
        self._tail = tail
        self._readers = readers
        self._limits = limits
        self._status: ExitStatus | None = None
        self._exited = asyncio.Event()
        self._guard: ProcessLimit | None = None
        if limits is not None and limits.processes is not None:
            from .counter import ProcessLimit

            self._guard = ProcessLimit(child.pid, limits.processes)
        child.on_exit(self._collect)

    @classmethod
    async def spawn(
        cls,
        argv: list[str],
        environ: Mapping[str, str],
        log: PluginLog | None,
        *,
        streams: Mapping[int, int] | None = None,
        cwd: str | None = None,
        limits: Limits | None = None,
        start: StartChild = start_child,
    ) -> Self:
        """Start a program.

        Args:
            argv: the path of the program, and its arguments.
            environ: its environment.
            log: takes what it prints; without one it has this process' own stdin, stdout, stderr and process group.
            streams: what else it inherits, by the number that each has there. (See `start_child`.)
            cwd: its directory; by default that of this process.
            limits: see above.
            start: starts the process; by default the system does (`start_child`).

        Raises:
            OSError: it could not be started.

        Where it fails or is cancelled, nothing is left of it: the pipes end with their other ends.
        """
        tail, readers = Tail(), list[LineReader]()
        with contextlib.ExitStack() as theirs:
            wanted = dict(streams or {})
            if log is not None:
                if 0 not in wanted:
                    wanted[0] = open_null()
                    theirs.callback(close_stream, wanted[0])
                for number, source, kept in ((1, LogSource.STDOUT, None), (2, LogSource.STDERR, tail)):
                    readers.append(LineReader(log, source, kept))
                    pipe, wanted[number] = output_pipe()
                    theirs.callback(close_stream, wanted[number])
                    try:
                        await _read(pipe, readers[-1])
                    except Exception:
                        readers[-1].discard(pipe)
                        raise
            # From here on nothing is awaited: a start that is cancelled leaves no process.
            child = start(Program(argv[0], argv[1:], environ, cwd, limits), wanted, lead=log is not None)
            try:
                return cls(child, readers, tail, limits)
            except BaseException:  # What cannot be watched is not left to run.
                child.kill()
                child.collect()
                child.close()
                raise

    def _collect(self) -> None:
        try:
            self._status = self._child.collect()
            if self._status is None:
                logger.warning(
                    "how process %d has ended cannot be told: this process ignores SIGCHLD, or waits for its children "
                    "elsewhere as well",
                    self.pid,
                )
        finally:
            self._exited.set()
            if self._guard is not None:
                self._guard.stop()
            self._child.close()

    @property
    def running(self) -> bool:
        """Whether the process has not been collected yet."""
        return not self._exited.is_set()

    @property
    def exit_code(self) -> int | None:
        """The exit status, `None` while it runs or when a signal ended it."""
        return None if self._status is None else self._status.code

    @property
    def signal_number(self) -> int | None:
        """The signal that ended it, if one did."""
        return None if self._status is None else self._status.signal_number

    @property
    def stderr_tail(self) -> str:
        """The last lines that it wrote on stderr."""
        return str(self._tail)

    async def wait(self) -> None:
        """Wait for the process to end and for the last of its output."""
        await self._exited.wait()
        ends = [reader.ended for reader in self._readers]
        if ends:
            await asyncio.wait(ends, timeout=OUTPUT_TIME)
        for reader in self._readers:
            reader.close()

    def terminate(self) -> None:
        """Ask the process and its children to end."""
        self._child.terminate()

    def kill(self) -> None:
        """End the process and its children at once."""
        self._child.kill()

    def diagnose(self) -> None:
        """Ask the process alone, not its children, where its threads stand."""
        self._child.diagnose()

    @property
    def over_limit(self) -> str | None:
        """The limit that ended it, in words; `None` where none seems to have."""
        if self._guard is not None and self._guard.verdict is not None:
            return self._guard.verdict
        if self._status is None or self._limits is None:
            return None
        return self._limits.explain(self._status, self.stderr_tail)


async def _read(pipe: Any, reader: LineReader) -> None:
    if not hasattr(pipe, "fileno"):  # on Windows, in an event loop that waits for no pipes
        from ...aio.pipes.threads import open_threaded_pipes

        open_threaded_pipes(lambda: reader, pipe, writes=False)
        return
    connecting = asyncio.get_running_loop().connect_read_pipe(lambda: reader, pipe)
    await asyncio.shield(connecting)  # uvloop loses a pipe where this is cancelled.
