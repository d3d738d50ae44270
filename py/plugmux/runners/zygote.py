"""Plugins in Python that are forked from a process which has imported plugmux already.

A Python plugin spends most of its start on imports. A zygote does them once. For each plugin it forks, which takes a
millisecond or two, and the child runs the plugin's program. What was imported is shared memory until it is written to.

The zygote alone starts, signals and collects its children: a process id means what it says only to the parent. It ends
with the connection to the runner, and never before its last child without telling.

On that connection the runner sends requests: four bytes of length, then JSON, with the child's descriptors beside the
length. The answer to a start is the child's process id. How a child has ended comes through a pipe of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from ..errors import ConfigError, StateError
from ..platform import ExitStatus, Program, start_child
from ..runtime.process.local import LocalRunner, plugin_environment
from ..runtime.process.process import Process

if TYPE_CHECKING:
    from ..platform import Child

__all__ = ["ZygoteRunner"]

LENGTH: Final = struct.Struct("!I")
PID: Final = struct.Struct("!q")
STATUS: Final = struct.Struct("!ldq")
"""Exit status (negative for a signal), seconds of processor time, peak memory in bytes."""
READY: Final = b"."
FORK_TIME: Final = 30.0
"""Seconds that a fork may take."""
END_TIME: Final = 2.0
READ_AT_START: Final = ("PYTHON", "LD_", "DYLD_")
"""How variables begin that an interpreter and its loader read once, at their start."""


class ZygoteRunner(LocalRunner):
    """Forks Python plugins from one process: `async with ZygoteRunner() as zygote: Launch(command, runner=zygote)`.

    Args:
        preload: modules to import before the first fork, besides those of every plugin. They must be safe to fork: no
            threads, no open connections, no event loop (docs/launching.md).
        timeout: seconds that the zygote may take to import everything (60).

    Raises:
        ConfigError: this system cannot fork.

    A command is forked if it is this interpreter (`sys.executable`) with a script or `-m module`. Any other starts as
    without a zygote, and so does a launch with limits, or one that changes a variable that Python reads at its start.
    When the block is left, the zygote ends; a plugin that still runs goes on until its link ends.
    """

    def __init__(self, preload: Iterable[str] = (), *, timeout: float = 60.0) -> None:
        if not hasattr(os, "fork") or not hasattr(socket, "send_fds"):
            raise ConfigError("a zygote forks, which this system cannot: start plugins without it")
        self._preload = tuple(preload)
        self._timeout = timeout
        self._environ = plugin_environment(os.environ, {}, "zygote")
        self._process: Process | None = None
        self._control: socket.socket | None = None

    async def __aenter__(self) -> Self:
        """Start the zygote and wait until it has imported everything.

        Raises:
            StateError: it ended meanwhile, or took longer than `timeout`; its stderr has the reason.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._control = ours
        command = [sys.executable, "-P", "-m", f"{__package__}.zygote_host", "3", *self._preload]
        try:
            with theirs:
                self._process = await Process.spawn(command, self._environ, None, streams={3: theirs.fileno()})
            async with asyncio.timeout(self._timeout):
                ready = await asyncio.get_running_loop().sock_recv(ours, len(READY))
        except BaseException as error:
            await self.close()
            if isinstance(error, TimeoutError):
                raise StateError(
                    f"the zygote has not imported its modules within {self._timeout:g} s (timeout)"
                ) from None
            raise
        if ready != READY:
            await self.close()
            raise StateError("the zygote ended while it imported its modules: see its stderr")
        ours.settimeout(FORK_TIME)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the zygote; harmless when it has ended."""
        if self._control is not None:
            self._control.close()
            self._control = None
        process, self._process = self._process, None
        if process is not None:
            try:
                async with asyncio.timeout(END_TIME):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    def _start_child(self, program: Program, streams: Mapping[int, int], *, lead: bool = True) -> Child:
        if not _can_be_forked(program, self._environ):
            return start_child(program, streams, lead=lead)
        if self._control is None:
            raise StateError("the zygote does not run: use ZygoteRunner as `async with`, around the runtime")
        if self._control.fileno() < 0:
            raise OSError("the zygote has failed before, and is asked no more")
        return _fork(self._control, program, streams, lead)


def _can_be_forked(program: Program, environ: Mapping[str, str]) -> bool:
    """Whether a program is one that a zygote can become, since it differs in nothing that is read at the start.

    Args:
        program: what is to run.
        environ: what the zygote was started with.
    """
    words = program.arguments
    if program.path != sys.executable or not words or program.limits is not None:
        return False
    if words[0].startswith("-") and not (words[0] == "-m" and len(words) > 1):
        return False
    names = {name for name in {*program.environ, *environ} if name.startswith(READ_AT_START)}
    return all(program.environ.get(name) == environ.get(name) for name in names)


def _fork(control: socket.socket, program: Program, streams: Mapping[int, int], lead: bool) -> _Forked:
    """Have a child forked. It blocks for the time of a fork, as starting a process does.

    Raises:
        OSError: the zygote has ended, or does not answer.
    """
    request = {
        "arguments": list(program.arguments),
        "environ": dict(program.environ),
        "cwd": program.cwd,
        "streams": list(streams),
        "lead": lead,
    }
    body = json.dumps(request).encode()
    status, theirs = os.pipe()
    try:
        socket.send_fds(control, [LENGTH.pack(len(body))], [theirs, *streams.values()])
        control.sendall(body)
        answer = control.recv(PID.size, socket.MSG_WAITALL)
        if len(answer) < PID.size:
            raise OSError("the zygote has ended")
    except BaseException:
        os.close(status)
        control.close()  # An answer that comes later would be taken for that to the next request.
        raise
    finally:
        os.close(theirs)
    return _Forked(PID.unpack(answer)[0], control, status)


class _Forked:
    """A child of the zygote. (See `Child`.)"""

    def __init__(self, pid: int, control: socket.socket, status: int) -> None:
        self.pid = pid
        self._control = control
        self._status = status
        self._loop: asyncio.AbstractEventLoop | None = None
        self._collected = False

    def on_exit(self, tell: object) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._status, self._ended, tell)

    def _ended(self, tell: object) -> None:
        self._unwatch()
        assert callable(tell)
        tell()

    def _unwatch(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._status)
        self._loop = None

    def collect(self) -> ExitStatus | None:
        self._collected = True
        told = os.read(self._status, STATUS.size)
        if len(told) < STATUS.size:
            return None  # The zygote has ended, and nobody can tell any more.
        code, cpu, memory = STATUS.unpack(told)
        return ExitStatus(None, -code, cpu, memory) if code < 0 else ExitStatus(code, None, cpu, memory)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM, group=True)

    def kill(self) -> None:
        self._signal(signal.SIGKILL, group=True)

    def diagnose(self) -> None:
        self._signal(signal.SIGQUIT, group=False)

    def _signal(self, number: signal.Signals, *, group: bool) -> None:
        if self._collected or self._control.fileno() < 0:
            return
        body = json.dumps({"pid": self.pid, "signal": int(number), "group": group}).encode()
        try:
            self._control.sendall(LENGTH.pack(len(body)) + body)
        except OSError:
            return  # The zygote has ended: the child ends with its link.

    def close(self) -> None:
        self._unwatch()
        if self._status >= 0:
            os.close(self._status)
            self._status = -1


def program_directory(script: str) -> str:
    """What Python puts first on its path for a script."""
    return str(Path(script).resolve().parent)
