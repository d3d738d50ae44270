"""Plugins on other machines, started by a command that leads there, such as ssh.

The command must end in a POSIX shell of the other machine. The shell reads from its stdin what to start and with which
environment, so that the join token and other values stand in no list of processes. The plugin joins its runtime over
the network (`joining`); what it prints comes back through the command. The run ends with the command.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from ..contract.launch import VARIABLE
from ..errors import ConfigError, PluginCause, PluginError
from ..link.link import Link
from ..runtime.logs.log import PluginLog
from ..runtime.process.limits import LIMITS
from ..runtime.process.local import plugin_environment
from ..runtime.process.process import Process
from ..runtime.source import Launch, Runner
from .joining import Joining, JoinPoint

__all__ = ["RemoteRunner"]

STDIN = 0
SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
VARIABLES = ("SSH_AUTH_SOCK", "KUBECONFIG", "DOCKER_HOST", "CONTAINER_HOST")
"""What commands that lead to another machine need beside the variables that every program gets."""


class RemoteRunner(Runner):
    """Starts plugins on another machine: `Launch(["./kv"], runner=RemoteRunner(["ssh", "b", "sh"], point))`.

    The command and the working directory of the launch are those of the other machine, and only the variables that the
    launch sets pass. The plugin needs no certificate: it gets one (see `JoinPoint`). A Python plugin needs
    `plugmux[pki]` for that.

    Args:
        via: the words of a command that runs a POSIX shell there, which reads its stdin:
            `["ssh", "kv@10.0.0.2", "sh"]`, `["kubectl", "exec", "-i", "kv-0", "--", "sh"]`. It must stay until the
            shell has ended.
        point: where plugins join; runners may share one.

    Raises:
        ConfigError: `via` has no words.
    """

    def __init__(self, via: Sequence[str], point: JoinPoint) -> None:
        if isinstance(via, str) or not via:
            raise ConfigError('RemoteRunner needs the words of a command, such as ["ssh", "kv@10.0.0.2", "sh"]')
        self.via = tuple(via)
        self.point = point
        self.address = str(point.address)

    def unsupported_limits(self) -> Mapping[str, str]:
        """All limits. (See `Runner`.)"""
        return dict.fromkeys(LIMITS, "nothing holds it to one on the other machine")

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> RemoteRun:
        """Start the plugin. (See `Runner`.)"""
        if not launch.command:
            raise _not_started(launch, "its launch has no command, which the shell of the other machine needs")
        for name in launch.env:
            if not SHELL_NAME.fullmatch(name):
                raise _not_started(launch, f"no shell can set a variable that is named {name!r}")
        program = shutil.which(self.via[0])
        if program is None:
            raise PluginError(launch.name, PluginCause.NOT_FOUND, f"there is no program {self.via[0]!r}")
        environ = plugin_environment(os.environ, {}, launch.name)
        environ |= {name: os.environ[name] for name in VARIABLES if name in os.environ}
        try:
            joining = await self.point.expect(launch.name, timeout, log)
        except ConfigError as error:
            raise _not_started(launch, str(error)) from error
        except OSError as error:
            raise _not_started(launch, f"this machine cannot listen for it: {error}") from error
        try:
            with _to_be_read(_script(launch, joining)) as script:
                command = await Process.spawn([program, *self.via[1:]], environ, log, streams={STDIN: script.fileno()})
        except BaseException as error:
            await joining.close()
            if isinstance(error, OSError):
                raise _not_started(launch, f"{self.via[0]!r} could not be started: {error}") from error
            raise
        return RemoteRun(command, joining)


class RemoteRun:
    """One run of a plugin on another machine. (See `Run`.)

    Args:
        command: the command that leads there.
        joining: where the plugin joins.
    """

    pid = None

    def __init__(self, command: Process, joining: Joining) -> None:
        self._command = command
        self._joining = joining

    @property
    def running(self) -> bool:
        """Whether the command has not ended."""
        return self._command.running

    @property
    def exit_code(self) -> int | None:
        """The exit status of the command, which is that of the plugin as a rule."""
        return self._command.exit_code

    @property
    def signal_number(self) -> int | None:
        """The signal that ended the command."""
        return self._command.signal_number

    @property
    def stderr_tail(self) -> str:
        """The last lines on stderr: the plugin's, or the command's own."""
        return self._command.stderr_tail

    @property
    def over_limit(self) -> str | None:
        """Nothing is limited."""
        return None

    async def connect(self, link: Link) -> None:
        """Begin to wait for the plugin, which joins and dials."""
        self._joining.accept(link)

    async def wait(self) -> None:
        """Wait for the command to end and for the last of its output."""
        await self._command.wait()
        await self._joining.close()

    def terminate(self) -> None:
        """Ask the command to end. The plugin ends when its link has gone."""
        self._command.terminate()

    def kill(self) -> None:
        """End the command at once."""
        self._command.kill()

    def diagnose(self) -> None:
        """No signal reaches the plugin there."""


def _script(launch: Launch, joining: Joining) -> bytes:
    """What the shell of the other machine is to do."""
    lines = []
    for name, value in launch.env.items():
        lines.append(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")
    lines.append(f"export {VARIABLE}={shlex.quote(joining.config.to_json())}")
    if launch.cwd is not None:
        lines.append(f"cd {shlex.quote(os.fspath(launch.cwd))} || exit")
    lines.append(f"exec {shlex.join(launch.command)} </dev/null")
    return os.fsencode("".join(f"{line}\n" for line in lines))


def _to_be_read(content: bytes) -> BinaryIO:
    """A file without a name, at its beginning."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- the caller closes it
    file.write(content)
    file.seek(0)
    return file


def _not_started(launch: Launch, why: str) -> PluginError:
    return PluginError(launch.name, PluginCause.NOT_STARTED, why)
