"""The plugin under check: how it is launched, and what is known of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginResponse

from ..contract.launch import FIRST_FREE_FD, LaunchConfig
from ..errors import ConfigError
from ..runtime.process.local import plugin_environment
from .host import RuntimeEnd, TestRegistrar, accepted
from .methods import Methods
from .outcome import Failed
from .program import PluginRun
from .raw import RawLink

__all__ = ["NAME", "Options", "Subject"]

T = TypeVar("T")

NAME = "checked"
"""The name that the plugin is given: not its file's, so that it must read it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the checks of a plugin are told.

    Args:
        startup_timeout: seconds from the launch of the plugin to its registration.
        timeout: seconds for anything else that a check waits for.
        environ: variables that the plugin gets besides those that a runtime passes on.
        services: full names of the services to call; by default all that it registers.
        configuration: the configuration that the plugin gets at its registration, as a JSON object; empty for none.
        requests: requests to call methods with, as JSON values, by `SERVICE/METHOD`.
    """

    startup_timeout: float = 60.0
    timeout: float = 30.0
    environ: Mapping[str, str] = field(default_factory=dict)
    configuration: str = ""
    services: Sequence[str] = ()
    requests: Mapping[str, Sequence[object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.startup_timeout <= 0 or self.timeout <= 0:
            raise ConfigError("--startup-timeout and --timeout are seconds above 0")


class Subject:
    """A plugin that checks launch, each as it needs it.

    Args:
        command: the plugin's program and its arguments.
        options: what the checks are told.

    Attributes:
        silent: whether the plugin, launched as ever, has run on without registering. Every launch would wait for it.

    Raises:
        ConfigError: there is no such program, or this system has no pairs of sockets.
    """

    def __init__(self, command: Sequence[str], options: Options) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise ConfigError(
                "checks launch a plugin with a pair of sockets, which this system has not: run them on Linux or macOS"
            )
        program = shutil.which(command[0]) if command else None
        if program is None:
            raise ConfigError(f"there is no program {' '.join(command[:1])!r}, or it is not executable")
        self.argv = [os.path.abspath(program), *command[1:]]
        self.options = options
        self.silent = False
        self._host: RuntimeEnd | None = None
        self._raw: RawLink | None = None
        self._methods: Methods | None = None
        self._runs: dict[str, Any] = {}

    def environment(self, config: LaunchConfig | None) -> dict[str, str]:
        """The environment that a runtime gives the plugin."""
        environ = plugin_environment(os.environ, self.options.environ, NAME)
        return {**environ, **(config.to_environ() if config else {})}

    def config(self, timeout: float | None = None) -> LaunchConfig:
        """The launch configuration of a plugin with one socket."""
        return LaunchConfig(NAME, timeout or self.options.startup_timeout, FIRST_FREE_FD, FIRST_FREE_FD)

    def start(
        self, environ: Mapping[str, str], inherited: Sequence[int] = (), *, stdout: int | None = None
    ) -> PluginRun:
        """Start the plugin's program.

        Raises:
            Failed: the system cannot.
        """
        try:
            return PluginRun.start(self.argv, environ, inherited, stdout=stdout)
        except OSError as error:
            raise Failed(f"{self.argv[0]!r} cannot be started: {error}") from None

    async def launch(
        self,
        registrar: TestRegistrar | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        timeout: float | None = None,
        stdout: int | None = None,
    ) -> RuntimeEnd:
        """Launch the plugin with one socket; it may have registered or not. The caller closes the host.

        Args:
            registrar: where it registers.
            environ: its whole environment, in place of that which a runtime gives.
            timeout: seconds that it is told it has for its registration.
            stdout: a descriptor for what it prints.
        """
        given = environ if environ is not None else self.environment(self.config(timeout))
        ours, program = self._start_with_socket(given, stdout)
        registrar = registrar or TestRegistrar()
        registrar.response.configuration_json = self.options.configuration
        host = RuntimeEnd(program, registrar, self.options.timeout)
        try:
            await host.link.over_socket(ours)
        except BaseException:
            await host.close()
            raise
        return host

    def _start_with_socket(
        self, environ: Mapping[str, str], stdout: int | None = None
    ) -> tuple[socket.socket, PluginRun]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                return ours, self.start(environ, [theirs.fileno()], stdout=stdout)
            except BaseException:
                ours.close()
                raise

    @asynccontextmanager
    async def launched(
        self,
        registrar: TestRegistrar | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[RuntimeEnd]:
        """Launch the plugin for one check; the arguments are those of `launch`."""
        host = await self.launch(registrar, environ=environ, timeout=timeout)
        try:
            yield host
        finally:
            await host.close()

    @asynccontextmanager
    async def registered(self, *, stdout: int | None = None) -> AsyncIterator[RuntimeEnd]:
        """Launch the plugin for one check and wait for its registration."""
        host = await self._registered(stdout)
        try:
            yield host
        finally:
            await host.close()

    async def _registered(self, stdout: int | None = None) -> RuntimeEnd:
        host = await self.launch(stdout=stdout)
        try:
            await host.wait_registered(self.options.startup_timeout)
            await host.ping()
        except BaseException:
            self.silent |= not host.registrar.requests and host.program.running
            await host.close()
            raise
        return host

    async def shared(self) -> RuntimeEnd:
        """The link to a plugin that has registered, for checks that leave it as they found it."""
        if self._host is not None and (self._host.link.closed or not self._host.program.running):
            host, self._host = self._host, None
            await host.close()
        if self._host is None:
            self._host = await self._registered()
        return self._host

    @asynccontextmanager
    async def raw(
        self, *, register: bool = True, response: RegisterPluginResponse | None = None
    ) -> AsyncIterator[RawLink]:
        """Launch the plugin for one check that writes the frames itself.

        Args:
            register: whether its registration is awaited and accepted.
            response: what it is told then.
        """
        link = await self._raw_link(register, response)
        try:
            yield link
        finally:
            await link.close()

    async def shared_raw(self) -> RawLink:
        """A link whose frames a check writes itself, for checks after which it goes on."""
        if self._raw is not None and (self._raw.ended or self._raw.go_away is not None):
            link, self._raw = self._raw, None
            await link.close()
        if self._raw is None:
            self._raw = await self._raw_link(True, None)
        return self._raw

    async def _raw_link(self, register: bool, response: RegisterPluginResponse | None) -> RawLink:
        ours, program = self._start_with_socket(self.environment(self.config()))
        try:
            link = await RawLink.over(ours, program, self.options.startup_timeout)
        except BaseException:
            await program.close()
            raise
        try:
            if register:
                answer = response or accepted()
                answer.configuration_json = self.options.configuration
                await link.register(answer)
                await link.settle()
        except BaseException:
            self.silent |= not link.opened and link.program.running
            await link.close()
            raise
        link.timeout = self.options.timeout
        return link

    async def methods(self) -> Methods:
        """What the plugin serves, as far as it is known."""
        if self._methods is None:
            self._methods = await Methods.of(await self.shared(), self.options.services, self.options.requests)
        return self._methods

    async def once(self, what: str, run: Callable[[], Awaitable[T]]) -> T:
        """The result of a run that several checks look at: it is made for the first of them.

        Args:
            what: names the run.
            run: makes it.
        """
        if what not in self._runs:
            self._runs[what] = await run()
        found: T = self._runs[what]
        return found

    async def close(self) -> None:
        """End what checks have shared."""
        ends = [shared.close() for shared in (self._host, self._raw) if shared is not None]
        self._host = self._raw = None
        await asyncio.gather(*ends)
