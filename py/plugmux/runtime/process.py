"""A plugin's process on this machine: started, watched, ended. It knows nothing of what crosses the link.

The process leads a group of its own, so that its children end with it. It is reaped only after its group has been
signalled for the last time: until then its process id cannot pass to a stranger, and no other process is ever hit.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import signal
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from ..launch import FIRST_FREE_FD, LaunchConfig
from ..link import Link
from .census import Guard
from .environment import plugin_environment
from .error import PluginCause, PluginError
from .limits import KIB, Ending, Limits
from .logs import LogSource, PluginLog
from .output import LineReader, Tail
from .source import Launch

__all__ = ["LocalRunner", "Process"]

DRAIN_TIME = 0.5
"""Seconds that output is still read after the process has ended, where a grandchild holds the pipes open."""

BINARY_FORMATS = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
"""How the files of compiled programs begin: ELF, Windows, Mach-O of 64 and of 32 bits, Mach-O of several machines."""

STANDARD_FDS = (0, 1, 2)
LINK_FDS = (FIRST_FREE_FD, FIRST_FREE_FD + 1)


class LocalRunner:
    """Starts plugins as processes of this machine, with one end of a link as an inherited descriptor."""

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> Process:
        """Start the program. (See `Runner`.)"""
        program = find_program(launch)
        captured = launch.stdio == "capture"
        with contextlib.ExitStack() as theirs:
            ours, link_fds = _link_ends(launch, theirs)
            config = LaunchConfig(launch.name, timeout, LINK_FDS[0], LINK_FDS[len(link_fds) - 1])
            outputs = _output_pipes(theirs) if captured else []
            null = _kept(theirs, os.open(os.devnull, os.O_RDONLY))
            wanted = dict(zip(LINK_FDS, link_fds, strict=False))
            if captured:
                wanted |= {0: null, 1: outputs[0][1], 2: outputs[1][1]}
            argv = _argv(launch, program)
            try:
                pid = os.posix_spawn(  # noqa: ASYNC221 -- returns as soon as the program is loaded
                    argv[0],
                    argv,
                    {**plugin_environment(os.environ, launch.env, launch.name), **config.to_environ()},
                    file_actions=[
                        *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable_fds() - wanted.keys()),
                        *((os.POSIX_SPAWN_DUP2, source, target) for target, source in wanted.items()),
                    ],
                    setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
                    setsigmask=[],
                    **({"setpgroup": 0} if captured else {}),  # type: ignore[arg-type]
                )
            except OSError as error:
                for fd in {*ours, *(read for read, _ in outputs)}:
                    os.close(fd)
                raise _not_started(launch, program, error) from None
        process = Process(launch.name, pid, captured, ours, launch.limits)
        await process.read_outputs([read for read, _ in outputs], log)
        return process


class Process:
    """One run of a launched plugin as a process of this machine.

    Args:
        name: the plugin's name.
        pid: the process id.
        owns_group: whether the process leads a group of its own.
        link_fds: this side's descriptors of the link to read from and to write to; one twice for a socket.
        limits: what it may use; the program has been started with those that the kernel keeps.

    Attributes:
        pid: the process id; the process group has the same.
        exit_code: the exit status, `None` while it runs or when a signal ended it.
        signal_number: the signal that ended it, if one did.
    """

    def __init__(self, name: str, pid: int, owns_group: bool, link_fds: tuple[int, int], limits: Limits) -> None:
        self.name = name
        self.pid = pid
        self.exit_code: int | None = None
        self.signal_number: int | None = None
        self._tail = Tail()
        self._owns_group = owns_group
        self._link_fds = link_fds
        self._limits = limits
        self._guard = None if limits.processes is None else Guard(pid, limits.processes)
        self._readers: list[LineReader] = []
        self._used: resource.struct_rusage | None = None
        self._exited = asyncio.Event()
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    async def read_outputs(self, pipes: Sequence[int], log: PluginLog) -> None:
        """Begin to read the process' stdout and stderr."""
        loop = asyncio.get_running_loop()
        for fd, source, tail in zip(pipes, (LogSource.STDOUT, LogSource.STDERR), (None, self._tail), strict=False):
            reader = LineReader(log, source, tail)
            await loop.connect_read_pipe(lambda reader=reader: reader, os.fdopen(fd, "rb", 0))  # type: ignore[misc]
            self._readers.append(reader)

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

    async def connect(self, link: Link) -> None:
        """Connect the runtime's end of the link."""
        read_fd, write_fd = self._link_fds
        if read_fd == write_fd:
            await link.over_socket(socket.socket(fileno=read_fd))
        else:
            await link.over_pipes(read_fd, write_fd)

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
            if self._owns_group:
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


def find_program(launch: Launch) -> str:
    """The file that a launch would run.

    Raises:
        PluginError: there is none, or it cannot be run.
    """
    command = launch.command[0]
    base = os.fspath(launch.cwd) if launch.cwd is not None else os.getcwd()
    path = shutil.which(command) if os.sep not in command else os.path.join(base, command)
    if launch.cwd is not None and not os.path.isdir(launch.cwd):
        raise PluginError(launch.name, PluginCause.NOT_FOUND, f"its directory {base!r} does not exist")
    if path is None or not os.path.exists(path):
        raise PluginError(launch.name, PluginCause.NOT_FOUND, f"there is no program {command!r}")
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) or not os.access(path, os.X_OK):
        raise PluginError(launch.name, PluginCause.NOT_EXECUTABLE, f"{path!r} is not an executable file")
    return path


def _argv(launch: Launch, program: str) -> list[str]:
    """The program and its arguments, behind a shell where something is to be done before it begins.

    posix_spawn can neither change the directory nor set limits; the shell does it and becomes the program.
    """
    argv = [program, *launch.command[1:]]
    steps = launch.limits.shell_words()
    if launch.cwd is not None:
        steps.append('cd -- "$0"')
    if not steps:
        return argv
    return ["/bin/sh", "-c", " && ".join([*steps, 'exec "$@"']), os.fspath(launch.cwd or "/bin/sh"), *argv]


def _link_ends(launch: Launch, theirs: contextlib.ExitStack) -> tuple[tuple[int, int], list[int]]:
    """Our two descriptors of the link, and the plugin's one or two."""
    if launch.link == "socket":
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        fd = here.detach()
        return (fd, fd), [_kept(theirs, there.detach())]
    our_read, their_write = os.pipe()
    their_read, our_write = os.pipe()
    return (our_read, our_write), [_kept(theirs, their_read), _kept(theirs, their_write)]


def _output_pipes(theirs: contextlib.ExitStack) -> list[tuple[int, int]]:
    pipes = []
    for _ in ("stdout", "stderr"):
        read, write = os.pipe()
        pipes.append((read, _kept(theirs, write)))
    return pipes


def _kept(theirs: contextlib.ExitStack, fd: int) -> int:
    """The descriptor, moved out of the way of those it will be copied to, and closed here when the child has it."""
    if fd <= max(LINK_FDS):
        import fcntl

        moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(LINK_FDS) + 1)
        os.close(fd)
        fd = moved
    theirs.callback(os.close, fd)
    return fd


def _inheritable_fds() -> set[int]:
    """Descriptors beyond the standard three that a child would get by accident: such as this process got itself."""
    found = set()
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            if int(name) > max(STANDARD_FDS) and os.get_inheritable(int(name)):
                found.add(int(name))
    return found


def _not_started(launch: Launch, program: str, error: OSError) -> PluginError:
    name = launch.name
    if error.errno == errno.ENOEXEC and _first_bytes(program).startswith(BINARY_FORMATS):
        return PluginError(name, PluginCause.WRONG_ARCHITECTURE, f"{program!r} is not a program for this machine")
    if error.errno == errno.ENOEXEC:
        return PluginError(name, PluginCause.MISSING_INTERPRETER, f"{program!r} is a script without a first line (#!)")
    if error.errno == errno.ENOENT:
        return PluginError(
            name, PluginCause.MISSING_INTERPRETER, f"{_interpreter(program)}, for {program!r}, is missing"
        )
    if error.errno == errno.EACCES:
        return PluginError(name, PluginCause.NOT_EXECUTABLE, f"{program!r} may not be executed")
    return PluginError(name, PluginCause.NOT_STARTED, f"{program!r} could not be started: {error}")


def _interpreter(program: str) -> str:
    first = _first_bytes(program).partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return "its loader"
    return f"the interpreter {first[2:].decode('utf-8', 'replace').strip()!r}"


def _first_bytes(program: str) -> bytes:
    with Path(program).open("rb") as file:
        return file.read(256)
