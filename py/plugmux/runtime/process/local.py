"""Plugins as processes of this machine, with one end of the link as an inherited descriptor: the default runner.

It finds the program, chooses the environment variables that it gets, has a shell do what posix_spawn cannot, and
explains why a program cannot be started. By default the variables are those that programs need to run at all, none that
may carry the host's own secrets. What a `Launch` sets wins; what was left out is logged by name at debug level.
"""

from __future__ import annotations

import errno
import logging
import os
import shlex
import shutil
import socket
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from ...contract.launch import FIRST_FREE_FD, LaunchConfig
from ...errors import PluginCause, PluginError
from ...link.link import Link
from ..logs.log import PluginLog
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

BINARY_FORMATS = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
"""How the files of compiled programs begin: ELF, Windows, Mach-O of 64 and of 32 bits, Mach-O of several machines."""

LINK_FDS = (FIRST_FREE_FD, FIRST_FREE_FD + 1)


class LocalRunner(Runner):
    """Starts plugins as processes of this machine. (See `Runner`.)"""

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> LocalRun:
        """Start the program."""
        program = find_program(launch)
        command = await program_words(launch, program)
        argv = _argv(launch, command)
        if argv[0] != command[0]:
            _check_loadable(launch, command[0])
        config = LaunchConfig(
            launch.name,
            timeout,
            LINK_FDS[0],
            LINK_FDS[1 if launch.link == "pipes" else 0],
            terminal=launch.stdio == "inherit",
            runtime_pid=os.getpid(),
        )
        environ = {**plugin_environment(os.environ, launch.env, launch.name), **config.to_environ()}
        try:
            with ExitStack() as ours, ExitStack() as theirs:
                link_fds, inherited = _link_ends(launch, ours, theirs)
                run = await LocalRun.spawn(
                    argv,
                    environ,
                    log if launch.stdio == "capture" else None,
                    inherited=dict(zip(LINK_FDS, inherited, strict=False)),
                    limits=launch.limits,
                )
                run.link_fds = link_fds
                ours.pop_all()
        except OSError as error:
            raise _not_started(launch, command[0], error) from None
        return run


class LocalRun(Process):
    """One run of a plugin on this machine.

    Attributes:
        link_fds: this side's descriptors of the link to read from and to write to; one twice for a socket, and none
            any more when the link has them.
    """

    link_fds: tuple[int, ...] = ()

    async def connect(self, link: Link) -> None:
        """Connect the runtime's end of the link."""
        read_fd, write_fd = self.link_fds
        if read_fd != write_fd:
            self.link_fds = ()
            await link.over_pipes(read_fd, write_fd)
            return
        sock = socket.socket(fileno=read_fd)
        self.link_fds = ()
        try:
            await link.over_socket(sock)
        except BaseException:
            sock.close()
            raise

    async def wait(self) -> None:
        """Wait for the process to end and for the last of its output; a link that never was is closed then."""
        await super().wait()
        fds, self.link_fds = self.link_fds, ()
        for fd in set(fds):
            os.close(fd)


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
    for name, value in explicit.items():
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
    if os.sep in command or (command.endswith(SCRIPTS) and os.path.isfile(here)):
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
    if not os.access(path, os.R_OK if path.endswith(SCRIPTS) else os.X_OK):
        raise PluginError(launch.name, PluginCause.NOT_EXECUTABLE, f"{path!r} is not an executable file")
    return path


async def program_words(launch: Launch, program: str) -> list[str]:
    """The program of a launch and its arguments, behind the interpreter of a script that needs one.

    Raises:
        PluginError: there is no interpreter for it, or its first line ends as on Windows.
    """
    words = [program, *launch.command[1:]]
    if not os.access(program, os.R_OK):
        return words  # It may be executed all the same.
    first = _first_bytes(program)
    if first.startswith(b"#!") and first.partition(b"\n")[0].endswith(b"\r"):
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
    return shutil.which(command, path=path)


def _path(env: Mapping[str, str | None]) -> str:
    """The PATH of a plugin."""
    return (env["PATH"] if "PATH" in env else os.environ.get("PATH")) or os.defpath


def _argv(launch: Launch, argv: list[str]) -> list[str]:
    """The program and its arguments, behind a shell where something is to be done before it begins.

    posix_spawn can neither change the directory nor set limits; the shell does it and becomes the program.
    """
    steps = [] if launch.limits is None else launch.limits.shell_words()
    if launch.cwd is not None:
        steps.append('cd -- "$0"')
    if not steps:
        return argv
    return ["/bin/sh", "-c", " && ".join([*steps, 'exec "$@"']), os.fspath(launch.cwd or "/bin/sh"), *argv]


def _check_loadable(launch: Launch, program: str) -> None:
    """Check whether the system can load a program. A shell in between reports it less clearly, or runs the file itself.

    Raises:
        PluginError: it cannot be started.
    """
    if not os.access(program, os.R_OK):
        return  # It may be executed all the same.
    first = _first_bytes(program)
    if first.startswith(b"#!"):
        words = first[2:].partition(b"\n")[0].split()
        if not words or not os.path.exists(words[0]):
            raise _not_started(launch, program, OSError(errno.ENOENT, ""))
    elif not first.startswith(BINARY_FORMATS):
        raise _not_started(launch, program, OSError(errno.ENOEXEC, ""))


def _link_ends(launch: Launch, ours: ExitStack, theirs: ExitStack) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Our two descriptors of the link, and the plugin's one or two; the stacks close them."""
    if launch.link == "socket":
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        fd, their_fd = here.detach(), there.detach()
        ours.callback(os.close, fd)
        theirs.callback(os.close, their_fd)
        return (fd, fd), (their_fd,)
    our_read, their_write = _pipe(ours, theirs)
    their_read, our_write = _pipe(theirs, ours)
    return (our_read, our_write), (their_read, their_write)


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    read, write = os.pipe()
    reading.callback(os.close, read)
    writing.callback(os.close, write)
    return read, write


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
