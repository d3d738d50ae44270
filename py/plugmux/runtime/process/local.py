"""Plugins as processes of this machine, with one end of the link as an inherited descriptor: the default runner.

It finds the program, chooses the environment variables that it gets, and explains why a program cannot be started. By
default the variables are those that programs need to run at all, none that may carry the host's own secrets. What a
`Launch` sets wins; what was left out is logged by name at debug level.
"""

from __future__ import annotations

import errno
import logging
import os
import shlex
import socket
import stat
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from ...contract.launch import LaunchConfig
from ...errors import ConfigError, PluginCause, PluginError
from ...link.link import Link
from ...platform import (
    BINARY_FORMATS,
    Child,
    LinkEnds,
    Program,
    can_be_executed,
    find_on_path,
    has_directory,
    inherits_streams,
    link_ends,
    start_child,
    unsupported_limits,
    variable_name,
)
from ..logs.log import PluginLog
from ..socket.linksocket import LinkSocket
from ..source import SCRIPTS, Launch, Runner
from .process import Process

__all__ = ["SAFE", "SAFE_PREFIXES", "LocalRun", "LocalRunner", "find_program", "plugin_environment", "program_words"]

logger = logging.getLogger("plugmux.runtime")

SAFE = frozenset(
    (
        # what programs need everywhere
        "PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM TMPDIR TEMP TMP PWD "
        # where libraries and certificates are
        "LD_LIBRARY_PATH DYLD_LIBRARY_PATH SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS "
        # what the languages of plugins read
        "PYTHONPATH PYTHONHOME PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONUTF8 PYTHONASYNCIODEBUG VIRTUAL_ENV "
        "NODE_PATH GOMAXPROCS GODEBUG "
        # without which little runs on Windows
        "SYSTEMROOT SYSTEMDRIVE WINDIR OS COMSPEC PATHEXT APPDATA LOCALAPPDATA ALLUSERSPROFILE PROGRAMDATA "
        "PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 COMMONPROGRAMFILES USERPROFILE PUBLIC USERNAME USERDOMAIN "
        "COMPUTERNAME HOMEDRIVE HOMEPATH NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE"
    ).split()
)
"""Names that pass by themselves; docs/launching.md lists them."""

SAFE_PREFIXES = ("LC_", "XDG_")
WITHHELD = "XDG_RUNTIME_DIR"
"""Where the sockets of the user's services are, that of the user's plugmux runtime among them."""


class LocalRunner(Runner):
    """Starts plugins as processes of this machine. (See `Runner`.)"""

    def unsupported_limits(self) -> Mapping[str, str]:
        """The limits that this system does not know. (See `Runner`.)"""
        return unsupported_limits()

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> LocalRun:
        """Start the program."""
        program = find_program(launch)
        command = await program_words(launch, program)
        environ = plugin_environment(os.environ, launch.env, launch.name)
        try:
            async with AsyncExitStack() as unused:
                ends: LinkEnds | LinkSocket
                if inherits_streams(command[0]):
                    ends = link_ends(launch.link)
                    unused.callback(ends.close)
                    config, streams = LaunchConfig(launch.name, timeout, *ends.numbers), ends.streams
                else:
                    ends = await LinkSocket.open()
                    unused.push_async_callback(ends.close)
                    config, streams = LaunchConfig(launch.name, timeout, socket=str(ends.path)), {}
                config = replace(config, terminal=launch.stdio == "inherit", runtime_pid=os.getpid())
                run = await LocalRun.spawn(
                    command,
                    {**environ, **config.to_environ()},
                    log if launch.stdio == "capture" else None,
                    streams=streams,
                    cwd=None if launch.cwd is None else os.fspath(launch.cwd),
                    limits=launch.limits,
                    start=self._start_child,
                )
                if isinstance(ends, LinkEnds):
                    ends.close_theirs()
                run.ends = ends
                unused.pop_all()  # What fails before this closes the link, which ends the plugin.
        except OSError as error:
            raise _not_started(launch, command[0], error) from None
        except ConfigError as error:  # The event loop cannot serve it.
            raise PluginError(launch.name, PluginCause.NOT_STARTED, str(error)) from None
        return run

    def _start_child(self, program: Program, streams: Mapping[int, int], *, lead: bool = True) -> Child:
        """Start the process; what forks it elsewhere overrides this."""
        return start_child(program, streams, lead=lead)


class LocalRun(Process):
    """One run of a plugin on this machine.

    Attributes:
        ends: of the link; the runtime's are the run's until the link has them. A socket where the plugin inherits none.
    """

    ends: LinkEnds | LinkSocket

    async def connect(self, link: Link) -> None:
        """Connect the runtime's end of the link."""
        if isinstance(self.ends, LinkSocket):
            self.ends.accept(link)
            return
        read, write = self.ends.take()
        if read != write:
            await link.over_pipes(read, write)
            return
        sock = socket.socket(fileno=read)
        try:
            await link.over_socket(sock)
        except BaseException:
            sock.close()
            raise

    async def wait(self) -> None:
        """Wait for the process to end and for the last of its output; a link that never was is closed then."""
        await super().wait()
        if isinstance(self.ends, LinkSocket):
            await self.ends.close()
        else:
            self.ends.close()


def plugin_environment(host: Mapping[str, str], explicit: Mapping[str, str | None], plugin: str) -> dict[str, str]:
    """The environment of a plugin.

    Args:
        host: the host's own environment.
        explicit: what the launch sets; `None` as a value removes a variable.
        plugin: the plugin's name, for the log.
    """
    passed = {name: value for name, value in host.items() if _passes(name)}
    dropped = sorted(host.keys() - passed.keys() - explicit.keys())
    if dropped and logger.isEnabledFor(logging.DEBUG):
        logger.debug("plugin %s: not passed on to it: %s", plugin, ", ".join(dropped))
    for written, value in explicit.items():
        name = variable_name(written)
        if value is None:
            passed.pop(name, None)
        else:
            passed[name] = value
    return passed


def _passes(name: str) -> bool:
    return name in SAFE or (name.startswith(SAFE_PREFIXES) and name != WITHHELD)


def find_program(launch: Launch) -> str:
    """The whole path of the file that a launch would run, found as the plugin would find it: from its directory, and on
    its own PATH.

    Raises:
        PluginError: there is no such program, or it cannot be run.
    """
    command = launch.command[0]
    base = _base(launch)
    if launch.cwd is not None and not os.path.isdir(launch.cwd):
        raise PluginError(launch.name, PluginCause.NOT_FOUND, f"its directory {base!r} does not exist")
    here = str(Path(base, command))
    if has_directory(command) or (command.endswith(SCRIPTS) and os.path.isfile(here)):
        path: str | None = here
        missing = f"there is no program {command!r}: no file {here}"
    else:
        path = _on_path(command, base, launch.env)
        missing = f"there is no program {command!r}: none on PATH ({_path(launch.env)})"
        if os.path.isfile(here):
            missing += f"; for the file of that name in {base}, write './{command}'"
    if path is None or not os.path.exists(path):
        raise PluginError(launch.name, PluginCause.NOT_FOUND, missing)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise PluginError(launch.name, PluginCause.NOT_FOUND, f"{path!r} is not a file")
    if not (os.access(path, os.R_OK) if path.endswith(SCRIPTS) else can_be_executed(path)):
        raise PluginError(launch.name, PluginCause.NOT_EXECUTABLE, f"{path!r} is not an executable file")
    return path


async def program_words(launch: Launch, program: str) -> list[str]:
    """The program of a launch and its arguments, behind the interpreter of a script that needs one.

    Raises:
        PluginError: there is no interpreter for it, its first line ends as on Windows, or it cannot be read.
    """
    words = [program, *launch.command[1:]]
    if not os.access(program, os.R_OK):
        return words  # It may be executed all the same.
    try:
        first = _first_bytes(program)
    except OSError as error:
        raise _not_started(launch, program, error) from None
    if can_be_executed(program) and first.startswith(b"#!") and first.partition(b"\n")[0].endswith(b"\r"):
        raise PluginError(
            launch.name,
            PluginCause.MISSING_INTERPRETER,
            f"the first line of {program!r} ends with CR and LF, as on Windows, and no interpreter is named so: "
            f"save the file with LF alone (sed -i 's/\\r$//' {shlex.quote(program)})",
        )
    if not program.endswith(SCRIPTS):
        return words
    from .scripts import interpreter_of

    return [
        *await interpreter_of(launch, program, first, lambda name: _on_path(name, _base(launch), launch.env)),
        *words,
    ]


def _base(launch: Launch) -> str:
    """The directory that a plugin starts in."""
    return os.path.abspath(os.curdir if launch.cwd is None else launch.cwd)


def _on_path(command: str, base: str, env: Mapping[str, str | None]) -> str | None:
    """The first executable file of a name on the PATH that a launch sets, by default the host's."""
    path = os.pathsep.join(os.path.join(base, folder) for folder in _path(env).split(os.pathsep))
    return find_on_path(command, path)


def _path(env: Mapping[str, str | None]) -> str:
    """The PATH of a plugin."""
    named = {variable_name(name): value for name, value in env.items()}
    return (named["PATH"] if "PATH" in named else os.environ.get("PATH")) or os.defpath


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
