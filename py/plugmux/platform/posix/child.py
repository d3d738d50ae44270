"""Starts a process with posix_spawn, signals its tree by its process group, and collects it.

The process is collected only after its group has been signalled for the last time: until then its process id cannot
pass to a stranger, and no other process is ever hit.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..interface import BINARY_FORMATS, ExitStatus, Program
from .handle import PosixHandle, open_process
from .limits import MAXRSS_UNIT, limit_commands

__all__ = ["PosixChild", "start_child"]

STANDARD_FDS = (0, 1, 2)
SHELL = "/bin/sh"


def start_child(program: Program, streams: Mapping[int, int], *, lead: bool = True) -> PosixChild:
    """Start a program.

    Args:
        program: what to start.
        streams: the descriptors of this process that it has, by the number that each has there; the caller closes them.
            Of 0, 1 and 2 it has those of this process where there is none here. It inherits no other.
        lead: whether it leads a process group of its own.

    Raises:
        OSError: it could not be started: `ENOENT` where it, its interpreter or its directory is missing, `ENOEXEC`
            where the system cannot load it.

    It awaits nothing and returns as soon as the program is loaded. Where it fails, nothing is left of the program.
    """
    argv = _command_line(program)
    with contextlib.ExitStack() as moved:
        pid = os.posix_spawn(
            argv[0],
            argv,
            program.environ,
            file_actions=[
                *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable_fds() - streams.keys()),
                *((os.POSIX_SPAWN_DUP2, source, target) for target, source in _out_of_the_way(streams, moved)),
            ],
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
            setsigmask=[],
            **({"setpgroup": 0} if lead else {}),  # type: ignore[arg-type]  # mypy does not type `**` of a literal
        )
    try:
        return PosixChild(pid, open_process(pid), leads=lead)
    except BaseException:  # As a rule, no descriptor is left. What cannot be watched is not left to run.
        _end_unwatched(pid, group=lead)
        raise


class PosixChild:
    """A process that this one has started. (See `Child`.)

    Args:
        pid: its process id; its process group has the same, if it leads one.
        handle: watches it.
        leads: whether it has been started as the leader of a group.
    """

    def __init__(self, pid: int, handle: PosixHandle, *, leads: bool) -> None:
        self.pid = pid
        self._handle = handle
        self._leads = leads
        self._collected = False

    def on_exit(self, tell: Callable[[], None]) -> None:
        self._handle.on_exit(tell)

    def collect(self) -> ExitStatus | None:
        try:
            if not self._handle.is_uncollected():
                if _is_free(self.pid):  # Nobody has the id yet: the group can only be the old one.
                    self._signal(signal.SIGKILL)
                return None
            self._signal(signal.SIGKILL)
            _, status, used = os.wait4(self.pid, 0)
        except ChildProcessError:
            return None
        finally:
            self._collected = True
        code = os.waitstatus_to_exitcode(status)
        cpu, memory = used.ru_utime + used.ru_stime, used.ru_maxrss * MAXRSS_UNIT
        return ExitStatus(None, -code, cpu, memory) if code < 0 else ExitStatus(code, None, cpu, memory)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def diagnose(self) -> None:
        if not self._collected:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                self._handle.send_signal(signal.SIGQUIT)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the group, and the process itself where it has left the group, or never led one."""
        if self._collected:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not self._leads or os.getpgid(self.pid) != self.pid:
                self._handle.send_signal(number)
        if self._leads:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def close(self) -> None:
        self._handle.close()


def _command_line(program: Program) -> list[str]:
    """The program and its arguments, behind a shell where something is to be done before it begins.

    posix_spawn can neither change the directory nor set limits; the shell does it and becomes the program.
    """
    argv = [program.path, *program.arguments]
    steps = [] if program.limits is None else limit_commands(program.limits)
    if program.cwd is not None:
        steps.append('cd -- "$0"')
    if not steps:
        return argv
    _check_loadable(program.path)
    return [SHELL, "-c", " && ".join([*steps, 'exec "$@"']), program.cwd or SHELL, *argv]


def _check_loadable(path: str) -> None:
    """Check whether the system can load a program. A shell in between reports it less clearly, or runs the file itself.

    Raises:
        OSError: it cannot be started.
    """
    if not os.access(path, os.R_OK):
        return  # It may be executed all the same.
    with Path(path).open("rb") as file:
        first = file.read(256)
    if first.startswith(b"#!"):
        words = first[2:].partition(b"\n")[0].split()
        if not words or not os.path.exists(words[0]):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    elif not first.startswith(BINARY_FORMATS):
        raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC), path)


def _is_free(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _end_unwatched(pid: int, *, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # Where SIGCHLD is ignored nothing is left to collect.
        os.waitpid(pid, 0)


def _out_of_the_way(streams: Mapping[int, int], moved: contextlib.ExitStack) -> Iterator[tuple[int, int]]:
    """What to copy to which number, from behind all of these: else it could be overwritten before it is copied."""
    import fcntl

    last = max(streams, default=0)
    for target, source in streams.items():
        if source > last:
            yield target, source
            continue
        copy = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, last + 1)
        moved.callback(os.close, copy)
        yield target, copy


def _inheritable_fds() -> set[int]:
    """Descriptors beyond the standard three that a child would get by accident: such as this process got itself."""
    found = set()
    for fd in map(int, os.listdir("/dev/fd")):  # A host of many plugins has thousands.
        try:
            if fd not in STANDARD_FDS and os.get_inheritable(fd):
                found.add(fd)
        except OSError:  # that of the directory itself, which is closed by now
            continue
    return found
