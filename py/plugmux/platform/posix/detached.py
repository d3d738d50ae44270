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

__all__ = ["check_detached", "kill_detached", "start_detached"]

SHELL = 'exec 3>&1 4<&0 1>&2; "$@" <&4 3>&- 4<&- & printf %s "$!" >&3'
"""Starts a program that reads and writes what it was given alone, and tells its process id."""


def check_detached() -> None:
    """Check that programs can outlive this process here.

    Raises:
        ConfigError: they cannot.
    """


async def start_detached(program: Program, output: int, source: int = asyncio.subprocess.DEVNULL) -> int:
    """Start a program that is no child of this process: a shell starts it, prints its process id, and ends.

    Args:
        program: what to start.
        output: the descriptor that whatever it prints goes to.
        source: the descriptor that it reads its input from; by default it has none.

    Returns:
        Its process id; it leads a session with the shell's id.

    Raises:
        OSError: it could not be started.
    """
    shell = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        " && ".join([*(limit_commands(program.limits) if program.limits is not None else ()), SHELL]),
        "sh",
        program.path,
        *program.arguments,
        env=program.environ,
        cwd=program.cwd,
        stdin=source,
        stdout=asyncio.subprocess.PIPE,
        stderr=output,
        start_new_session=True,
    )
    told, _ = await shell.communicate()
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
