"""Plugins in containers, by the command line of docker or podman.

Nothing can be inherited into a container, and stdout and stderr are the plugin's own. So the runtime listens at a unix
socket in a directory that only its user can enter, mounts the directory into the container, and names the socket in the
launch configuration; the one connection to it is the link. It ends with either side, and the container ends with it,
also when the runtime is killed.

What is waited for and signalled is the command in the foreground (`docker run`), which passes signals on to the
container and ends as it does. Only SIGKILL does not reach the container so: there it is removed by force.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..aio.local_peer import PEER_USERS_VARIABLE
from ..contract.launch import LaunchConfig
from ..errors import ConfigError, PluginCause, PluginError
from ..link.link import Link
from ..platform import CPU_GRACE, NAMED_PIPES, ExitStatus, ListenError, current_user
from ..runtime.logs.log import PluginLog
from ..runtime.process.limits import MIB, Limits
from ..runtime.process.local import WITHHELD, plugin_environment
from ..runtime.process.process import Process
from ..runtime.socket.linksocket import LinkSocket
from ..runtime.source import Launch, Runner

__all__ = ["ContainerRunner"]

MOUNTED_AT = "/run/plugmux"
ENGINE_PREFIXES = ("DOCKER_", "CONTAINER", "PODMAN_")
"""How the variables begin by which the command line finds its engine."""

SIGNALLED = 128
"""The command's exit status when a signal ended the program in the container, less the signal's number."""

REMOVAL_TIME = 10.0

UNMAPPED_USER = 65_534
"""How the user of a process is shown in a user name space that has no number for it."""


class ContainerRunner(Runner):
    """Starts each plugin in a container of its own: `Launch(["kv-plugin"], runner=ContainerRunner("kv-image"))`.

    The command and the working directory of the launch are those in the container; an image that starts its plugin by
    itself needs no command, and the launch a name. Only the variables that the launch sets pass. Limits become options
    of the engine. The container is removed when it ends.

    Args:
        image: the image; one that has to be fetched first takes its time from the plugin's registration.
        engine: the command line, `"docker"`, `"podman"` or a path to either.
        options: further options of `docker run`, such as `["--network=none"]`.

    Raises:
        ConfigError: the image's name is not one.
    """

    def __init__(self, image: str, *, engine: str = "docker", options: Sequence[str] = ()) -> None:
        if not image or image.startswith("-"):
            raise ConfigError(f"{image!r} is not the name of an image")
        if NAMED_PIPES:
            raise ConfigError(
                "ContainerRunner cannot be used here: its plugins connect to a unix socket, and this system "
                "has named pipes, which no container reaches; leave the runner out"
            )
        self.image = image
        self.engine = engine
        self.options = tuple(options)

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> ContainerRun:
        """Start the container. (See `Runner`.)"""
        import secrets

        engine = shutil.which(self.engine)
        if engine is None:
            raise PluginError(launch.name, PluginCause.NOT_FOUND, f"there is no program {self.engine!r}")
        name = f"plugmux-{launch.name}-{secrets.token_hex(4)}"
        environ = plugin_environment(os.environ, _engine_variables(), launch.name)
        try:
            link_socket = await LinkSocket.open()
        except (OSError, ListenError) as error:
            raise _not_started(launch, error) from error
        try:
            argv = [engine, "run", "--rm", f"--name={name}", *self._options(launch, timeout, link_socket.path, environ)]
            cli = await Process.spawn(
                [*argv, *self.options, self.image, *launch.command],
                _set(launch) | environ,  # What the command line itself goes by stays its own.
                log if launch.stdio == "capture" else None,
            )
        except BaseException as error:
            await link_socket.close()
            if isinstance(error, OSError):
                raise _not_started(launch, error) from error
            raise
        return ContainerRun(cli, [engine, "rm", "--force", name], environ, link_socket, launch.limits or Limits())

    def _options(self, launch: Launch, timeout: float, path: Path, environ: dict[str, str]) -> list[str]:
        config = LaunchConfig(launch.name, timeout, socket=f"{MOUNTED_AT}/{path.name}")
        options = [f"--mount=type=bind,source={path.parent},target={MOUNTED_AT},readonly"]
        options += [f"--env={name}={value}" for name, value in config.to_environ().items()]
        # The plugin may be of another user there than the runtime is here; the mount leads to this runtime alone.
        options.append(f"--env={PEER_USERS_VARIABLE}={current_user()},{UNMAPPED_USER}")
        # A name alone takes its value from the command's environment: there no other user can read it.
        options += [
            f"--env={name}={value}" if name in environ else f"--env={name}" for name, value in _set(launch).items()
        ]
        if launch.cwd is not None:
            options.append(f"--workdir={os.fspath(launch.cwd)}")
        if launch.stdio == "inherit":
            options.append("--interactive")
        return options + _limit_options(launch.limits or Limits())


class ContainerRun:
    """One run of a plugin in a container. (See `Run`.)

    Args:
        cli: the command in the foreground.
        removal: the command that removes the container by force.
        environ: the environment for that.
        link_socket: the socket that the plugin connects to.
        limits: what the plugin may use.
    """

    pid = None

    def __init__(
        self,
        cli: Process,
        removal: list[str],
        environ: dict[str, str],
        link_socket: LinkSocket,
        limits: Limits,
    ) -> None:
        self._cli = cli
        self._removal = removal
        self._environ = environ
        self._link_socket = link_socket
        self._limits = limits
        self._removing: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the container has not ended."""
        return self._cli.running

    @property
    def exit_code(self) -> int | None:
        """The exit status of the program in the container."""
        return None if self.signal_number is not None else self._cli.exit_code

    @property
    def signal_number(self) -> int | None:
        """The signal that ended the program in the container, or the command."""
        number = (self._cli.exit_code or 0) - SIGNALLED
        return number if number in set(signal.Signals) else self._cli.signal_number

    @property
    def stderr_tail(self) -> str:
        """The last lines on stderr: the plugin's, or the engine's own."""
        return self._cli.stderr_tail

    @property
    def over_limit(self) -> str | None:
        """The limit that ended it, as far as the exit status tells."""
        if self._limits.memory is not None and self._removing is None and self.signal_number == signal.SIGKILL:
            return f"very likely it reached its memory limit of {self._limits.memory / MIB:g} MiB"
        status = ExitStatus(self.exit_code, self.signal_number)
        return self._limits.explain(status, self.stderr_tail) if not self.running else None

    async def connect(self, link: Link) -> None:
        """Begin to wait for the plugin's connection."""
        self._link_socket.accept(link)

    async def wait(self) -> None:
        """Wait for the container to end and for the last of its output; nothing is left of it then."""
        await self._cli.wait()
        if self._cli.signal_number is not None:
            self.kill()  # Something has ended the command, and maybe not the container.
        if self._removing is not None:
            await asyncio.wait([self._removing])
        await self._link_socket.close()

    def terminate(self) -> None:
        """Ask the plugin to end."""
        self._cli.terminate()

    def kill(self) -> None:
        """Remove the container by force."""
        if self._removing is None and (self.running or self._cli.signal_number is not None):
            self._removing = asyncio.create_task(self._remove(), name="plugmux: remove a container")

    async def _remove(self) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        try:
            removing = await Process.spawn(self._removal, self._environ, None, streams={0: null, 1: null, 2: null})
            with suppress(TimeoutError):
                async with asyncio.timeout(REMOVAL_TIME):
                    await removing.wait()
                    await self._cli.wait()
            removing.kill()
            await removing.wait()
        finally:
            os.close(null)
            self._cli.kill()

    def diagnose(self) -> None:
        """Ask the plugin where its threads stand: the command passes the signal on."""
        self._cli.diagnose()


def _set(launch: Launch) -> dict[str, str]:
    """The variables that a launch sets; there is none in a container that it could remove."""
    return {name: value for name, value in launch.env.items() if value is not None}


def _engine_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(ENGINE_PREFIXES) or name == WITHHELD}


def _limit_options(limits: Limits) -> list[str]:
    options = []
    if limits.memory is not None:
        options += [f"--memory={limits.memory}", f"--memory-swap={limits.memory}"]
    if limits.cpu is not None:
        options.append(f"--ulimit=cpu={limits.cpu}:{limits.cpu + CPU_GRACE}")
    if limits.files is not None:
        options.append(f"--ulimit=nofile={limits.files}:{limits.files}")
    if limits.processes is not None:
        options.append(f"--pids-limit={limits.processes}")
    return options


def _not_started(launch: Launch, error: Exception) -> PluginError:
    return PluginError(launch.name, PluginCause.NOT_STARTED, f"its container could not be started: {error}")
