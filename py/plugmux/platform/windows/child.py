"""Starts a process in a job of its own, which ends with all that is in it when its last handle is closed.

The handle is this process' alone, so that the tree ends with this process, however that ends. The process is started
suspended and runs only when it is in the job: nothing that it starts can be outside.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
from collections.abc import Callable, Mapping

from ..interface import ExitStatus, Program
from .handle import Watch, await_handle
from .native.command_line import command_line
from .native.kernel import ExtendedLimits, check, kernel32, ntdll

__all__ = ["WindowsChild", "start_child"]

STANDARD_STREAMS = (0, 1, 2)
CREATE_SUSPENDED = 0x4
EXTENDED_LIMITS = 9
KILL_ON_JOB_CLOSE = 0x2000
KILLED = 1
"""The exit status of a process that has been ended."""


def start_child(program: Program, streams: Mapping[int, int], *, lead: bool = True) -> WindowsChild:
    """Start a program.

    Args:
        program: what to start.
        streams: the handles of this process that it inherits; those by 0, 1 and 2 are its standard streams, and the
            others it knows by the same numbers as this process. The caller closes them. It inherits no other.
        lead: whether it is in a process group of its own, which Ctrl-C does not reach.

    Raises:
        OSError: it could not be started: `ENOENT` where it or its directory is missing, `ENOEXEC` where it is no
            program, `EINVAL` where its arguments cannot be passed.

    It awaits nothing. Where it fails, nothing is left of the program.
    """
    shell = os.environ.get("COMSPEC", r"C:\Windows\System32\cmd.exe")
    try:
        line = command_line(program.path, program.arguments, shell)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), program.path) from None
    if program.cwd is not None and not os.path.isdir(program.cwd):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program.cwd)
    job = _make_job()
    try:
        process = _start_suspended(program, line, streams, lead=lead)
        try:
            check(kernel32.AssignProcessToJobObject(job, _handle_of(process)))
            if (status := ntdll.NtResumeProcess(_handle_of(process))) < 0:
                raise OSError(errno.EINVAL, f"it cannot be resumed (status {status & 0xFFFF_FFFF:#x})", program.path)
        except BaseException:
            process.kill()
            process.wait()
            raise
    except BaseException:
        kernel32.CloseHandle(job)
        raise
    return WindowsChild(process, job, can_be_asked=lead and _has_console())


def _handle_of(process: subprocess.Popen[bytes]) -> int:
    return int(process._handle)  # type: ignore[attr-defined]  # it has no public name


def _start_suspended(program: Program, line: str, streams: Mapping[int, int], *, lead: bool) -> subprocess.Popen[bytes]:
    startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": list(dict.fromkeys(streams.values()))})
    if all(number in streams for number in STANDARD_STREAMS):
        startup.dwFlags |= subprocess.STARTF_USESTDHANDLES
        startup.hStdInput, startup.hStdOutput, startup.hStdError = (streams[number] for number in STANDARD_STREAMS)
    flags = CREATE_SUSPENDED
    if lead:
        flags |= subprocess.CREATE_NEW_PROCESS_GROUP
        if not _has_console():
            flags |= subprocess.CREATE_NO_WINDOW  # Without it a console program would open a window.
    for handle in streams.values():
        os.set_handle_inheritable(handle, True)
    try:
        return subprocess.Popen(  # noqa: S603 -- the host decides what to run
            line, env=dict(program.environ), cwd=program.cwd, startupinfo=startup, creationflags=flags
        )
    finally:
        for handle in streams.values():
            os.set_handle_inheritable(handle, False)


def _make_job() -> int:
    job: int = check(kernel32.CreateJobObjectW(None, None))
    limits = ExtendedLimits()
    limits.basic.flags = KILL_ON_JOB_CLOSE
    try:
        check(kernel32.SetInformationJobObject(job, EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)))
    except BaseException:
        kernel32.CloseHandle(job)
        raise
    return job


def _has_console() -> bool:
    return bool(kernel32.GetConsoleCP())


class WindowsChild:
    """A process that this one has started, and its job. (See `Child`.)

    Args:
        process: the process.
        job: the handle of its job.
        can_be_asked: whether it has this process' console, by which it can be asked to end.
    """

    def __init__(self, process: subprocess.Popen[bytes], job: int, *, can_be_asked: bool) -> None:
        self.pid = process.pid
        self._process = process
        self._job = job
        self._can_be_asked = can_be_asked
        self._collected = False
        self._watch: Watch | None = None

    def on_exit(self, tell: Callable[[], None]) -> None:
        self._watch = await_handle(_handle_of(self._process), tell)

    def collect(self) -> ExitStatus | None:
        self.kill()
        self._collected = True
        return ExitStatus(self._process.wait())

    def terminate(self) -> None:
        """Ask the process group by Ctrl-Break; where it has no console in common with this process, end the tree."""
        if self._collected:
            return
        if not self._can_be_asked:
            self.kill()
            return
        with contextlib.suppress(OSError):
            check(kernel32.GenerateConsoleCtrlEvent(signal.CTRL_BREAK_EVENT, self.pid))

    def kill(self) -> None:
        if not self._collected and self._job:
            kernel32.TerminateJobObject(self._job, KILLED)

    def diagnose(self) -> None:
        pass  # Windows has no signal for it.

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        job, self._job = self._job, 0
        if job and self._collected:
            kernel32.CloseHandle(job)
