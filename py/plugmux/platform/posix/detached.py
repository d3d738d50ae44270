"""Starts programs that outlive this process, and ends them."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from ..interface import Program
from .facts import start_time
from .handle import open_process
from .limits import limit_commands

__all__ = ["kill_detached", "start_detached"]

SHELL = 'exec 3>&1 1>&2; "$@" 3>&- & printf %s "$!" >&3'
"""Starts a program that writes to the log alone, and tells its process id."""


async def start_detached(program: Program, output: str) -> int:
    """Start a program that is no child of this process: a shell starts it, prints its process id, and ends.

    Args:
        program: what to start.
        output: the file that whatever it prints is appended to; where it is missing it is made, for this user alone.

    Returns:
        Its process id; it leads a session with the shell's id.

    Raises:
        OSError: it could not be started.
    """
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        shell = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            " && ".join([*(limit_commands(program.limits) if program.limits is not None else ()), SHELL]),
            "sh",
            program.path,
            *program.arguments,
            env=program.environ,
            cwd=program.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        told, _ = await shell.communicate()
    finally:
        os.close(log)
    return int(told)


def kill_detached(pid: int, started: str | None) -> None:
    """End a detached program and its group at once; nothing if the process id has passed to another process since.

    Args:
        pid: its process id.
        started: when it was started, as `start_time` has told.
    """
    with suppress(ProcessLookupError, PermissionError):
        process = open_process(pid)
        try:
            if started is not None and start_time(pid) == started:
                group = os.getpgid(pid)
                process.send_signal(signal.SIGKILL)
                if group != os.getpgrp():
                    os.killpg(group, signal.SIGKILL)
        finally:
            process.close()
