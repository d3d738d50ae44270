"""Plugins that outlive the runtime that started them, and are found again by the next.

A detached plugin has a session of its own, a process that writes what it prints to a log file (`log_writer`), and a
socket of its own in a directory that both runtimes know. It connects there again whenever its link has ended. A note
beside the socket says which process it is, so that the next runtime knows whom to wait for. A process is signalled on
the strength of a note only where it hangs and the policy is to end it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..aio.race import race
from ..contract.launch import LaunchConfig
from ..errors import ConfigError, PluginCause, PluginError
from ..platform import (
    ListenError,
    Program,
    UntrustedPath,
    check_detached,
    check_directory,
    kill_detached,
    open_process,
    start_detached,
    start_time,
    tells_start_time,
    unsupported_limits,
)
from ..runtime.process.local import find_program, plugin_environment, program_words
from ..runtime.socket.linksocket import LinkSocket
from ..runtime.source import Runner

if TYPE_CHECKING:
    from ..link.link import Link
    from ..runtime.logs.log import PluginLog
    from ..runtime.source import Launch

__all__ = ["DetachedRunner"]

MAX_LOG = 8 << 20
"""Bytes of a log file, and of the one before it, `.log.1`."""
LOG_WRITER = Path(__file__).with_name("log_writer.py")
OUTPUT_TAIL_TIME = 1.0
"""Seconds that the end of a plugin waits for the last that it has printed to be written."""

INTERPRETERS = ("python", "pypy")
"""How the names of interpreters begin."""

MAX_OUTPUT_TAIL = 2000
"""Bytes of the log file's end that an error shows."""


class DetachedRunner(Runner):
    """Starts plugins that live on when the runtime closes, or finds those that an earlier one has started.

    `Launch(["./kv-plugin"], runner=DetachedRunner("/run/user/1000/app"))`. Shutting the plugin down (`disable`,
    `restart`) does end it. There is one process of each name: such a launch has no replicas, and no limit of processes.

    Args:
        directory: where sockets, notes and log files are kept; where it is missing it is made, for this user alone, and
            no other user may be able to write one that exists, nor to replace it.

    Raises:
        ConfigError: this system does not tell when a process was started, without which none is found again.
    """

    outlives_runtime = True
    single_instance = True

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        check_detached()
        if not tells_start_time():
            raise ConfigError(
                "DetachedRunner cannot be used here: this system does not tell when a process was started, without "
                "which no plugin is found again; leave the runner out, and plugins end with their runtime"
            )
        self._directory = Path(os.path.abspath(directory))

    def unsupported_limits(self) -> Mapping[str, str]:
        """The limits that this system does not know, and that of processes. (See `Runner`.)"""
        return {**unsupported_limits(), "processes": "it outlives the runtime, which then cannot count its processes"}

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> DetachedRun:
        """Wait for the plugin's process where one lives, start it where none does. (See `Runner`.)"""
        words = await program_words(launch, find_program(launch))
        try:
            check_directory(self._directory, make=True)
            link_socket = await LinkSocket.open(self._directory / f"{launch.name}.sock")
        except UntrustedPath as error:
            raise PluginError(launch.name, PluginCause.UNTRUSTED, str(error)) from None
        except (OSError, ListenError) as error:
            raise PluginError(launch.name, PluginCause.NOT_STARTED, f"it cannot be waited for: {error}") from error
        note, output = (self._directory / f"{launch.name}{suffix}" for suffix in (".json", ".log"))
        try:
            found = living(note)
            if found is None:
                config = LaunchConfig(launch.name, timeout, socket=str(link_socket.path), detached=True)
                found = pid, writer = await _spawn(launch, words, config, output)
                note.write_text(json.dumps({"pid": pid, "started": start_time(pid), "writer": writer}))
        except BaseException:
            await link_socket.close()
            raise
        return DetachedRun(*found, link_socket, output)


class DetachedRun:
    """One run of a detached plugin: a runtime that closes gives it up, and the process lives on. (See `Run`.)

    Args:
        pid: the process.
        writer: the process that writes its log.
        link_socket: the socket that it connects to.
        output: its log file.
    """

    exit_code = None
    signal_number = None
    over_limit = None

    def __init__(self, pid: int, writer: int, link_socket: LinkSocket, output: Path) -> None:
        self.pid = pid
        self._writer = writer
        self._link_socket = link_socket
        self._output = output
        self._given_up = asyncio.Event()
        self._started = start_time(pid)

    @property
    def running(self) -> bool:
        """Whether its process lives, and has not been given up."""
        return not self._given_up.is_set() and start_time(self.pid) is not None

    @property
    def stderr_tail(self) -> str:
        """The end of its log file."""
        try:
            with self._output.open("rb") as file:
                file.seek(max(os.fstat(file.fileno()).st_size - MAX_OUTPUT_TAIL, 0))
                return file.read(MAX_OUTPUT_TAIL).decode("utf-8", "replace").strip()
        except OSError:
            return ""

    async def connect(self, link: Link) -> None:
        """Begin to wait for the plugin's connection."""
        self._link_socket.accept(link)

    async def wait(self) -> None:
        """Wait for the end of the process, or until it is given up: the next start is to find no process that ends."""
        await race(self._given_up.wait(), _gone(self.pid))
        if not self._given_up.is_set():
            await race(_gone(self._writer), OUTPUT_TAIL_TIME)
        await self._link_socket.close()

    def terminate(self) -> None:
        """Wait for it no longer: a plugin that does not end when it is asked to is not ours to end by force."""
        self._given_up.set()

    def kill(self) -> None:
        """End the process and its group at once, as it hangs: it cannot end when it is asked to.

        It is known by its id and by the time it was started at; both come from a directory that is this user's alone.
        """
        kill_detached(self.pid, self._started)

    def diagnose(self) -> None:
        """Nothing: its output is not read by this runtime."""


async def _gone(pid: int) -> None:
    """Wait until a process has ended."""
    try:
        process = open_process(pid)
    except ProcessLookupError:
        return
    gone = asyncio.Event()
    process.on_exit(gone.set)
    try:
        await gone.wait()
    finally:
        process.close()


def living(note: Path) -> tuple[int, int] | None:
    """The process that a note names, and that which writes its log.

    Returns:
        `None` where it has ended, or its number has passed to another since.
    """
    try:
        said = json.loads(note.read_text())
        pid, started, writer = int(said["pid"]), said["started"], int(said["writer"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return (pid, writer) if started is not None and start_time(pid) == started else None


async def _spawn(launch: Launch, words: Sequence[str], config: LaunchConfig, output: Path) -> tuple[int, int]:
    """Start a plugin, and before it what writes its log; return their process ids."""
    environ = plugin_environment(os.environ, launch.env, launch.name) | config.to_environ()
    cwd = None if launch.cwd is None else os.fspath(launch.cwd)
    writer = Program(_interpreter(launch), ["-I", "-S", str(LOG_WRITER), str(output), str(MAX_LOG)], {})
    try:
        os.close(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        reading, writing = os.pipe()
        try:
            writer_pid = await start_detached(writer, asyncio.subprocess.DEVNULL, reading)
            return await start_detached(Program(words[0], words[1:], environ, cwd, launch.limits), writing), writer_pid
        finally:
            os.close(reading)
            os.close(writing)
    except OSError as error:
        raise PluginError(
            launch.name, PluginCause.NOT_STARTED, f"{words[0]!r} could not be started: {error}"
        ) from error


def _interpreter(launch: Launch) -> str:
    """What runs the log writer: this process' own interpreter, where it is one and no program that holds it."""
    if not getattr(sys, "frozen", False) and Path(sys.executable).name.startswith(INTERPRETERS):
        return sys.executable
    found = shutil.which("python3")
    if found is None:
        raise PluginError(
            launch.name,
            PluginCause.NOT_STARTED,
            f"its log cannot be written: that takes a Python interpreter, which {sys.executable!r} is not, and there "
            "is no python3 on PATH",
        )
    return found
