"""A runtime around one plugin, for a test, and what is seen of it: calls, logs and events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ConfigError, StateError
from ..plugin import Plugin
from ..runtime import Event, Interceptors, Launch, LogEntry, PluginHandle, RestartPolicy, Runtime
from .calls import Call, CallLog, ExpectedCall, assert_calls
from .clock import run_on_clock
from .faults import Direction, LinkFaults
from .process import FaultyProcessRunner
from .recording import RecordingWriter
from .runner import MemoryRunner

if TYPE_CHECKING:
    from ..connect import Interceptor, Service
    from ..link.remote import RemoteObject

__all__ = ["PluginHost", "launch_plugin", "plugin_host"]

AnyClient = TypeVar("AnyClient")


class PluginHost:
    """A runtime with one plugin, and what has been seen of it. `plugin_host` and `launch_plugin` make one.

    Attributes:
        runtime: the runtime.
        events: every change of the plugin's state or health, from its start on.
    """

    def __init__(self, runtime: Runtime, name: str, faults: LinkFaults | None, log: CallLog) -> None:
        self.runtime = runtime
        self.name = name
        self._faults = faults
        self.events: list[Event] = []
        self._log = log

    @property
    def faults(self) -> LinkFaults:
        """Injects faults into the plugin's link.

        Raises:
            StateError: the plugin has a runner of its own, or pipes for its link.
        """
        if self._faults is None:
            raise StateError(
                f"plugin {self.name!r} has a runner of its own, or pipes: faults need the link of plugin_host, "
                "or a launch without runner= and link="
            )
        return self._faults

    @property
    def plugin(self) -> PluginHandle:
        """The plugin as the runtime sees it."""
        return self.runtime.plugin(self.name)

    @property
    def calls(self) -> Sequence[Call]:
        """The calls so far, by their beginning: of the runtime's clients, and of the plugin to its host."""
        return self._log.calls

    @property
    def logs(self) -> Sequence[LogEntry]:
        """The last 500 lines of the plugin's log, oldest first."""
        return self.runtime.logs(self.name)

    def client(self, client_class: Callable[..., AnyClient], **options: Any) -> AnyClient:
        """A client of a service that the plugin serves.

        Args:
            client_class: a generated client class.
            options: what the class takes besides the transport.
        """
        return self.runtime.client(client_class, plugin=self.name, **options)

    async def open_instance(self, configuration: Any, **options: Any) -> RemoteObject:
        """Ask the plugin for an instance. (See `Runtime.open_instance`.)

        Args:
            configuration: of the instance.
            options: `timeout`, in seconds.
        """
        return await self.runtime.open_instance(self.name, configuration, **options)

    async def configure(self, configuration: Any) -> None:
        """Change the configuration of the plugin. (See `Runtime.configure`.)"""
        await self.runtime.configure(self.name, configuration)

    async def restart(self) -> None:
        """End the plugin and start it anew. (See `Runtime.restart`.)"""
        await self.runtime.restart(self.name)

    async def calls_ended(self, count: int) -> None:
        """Wait until that many calls have ended, of either direction."""
        await self._log.wait(count)

    def assert_calls(self, *expected: ExpectedCall | str, **options: Any) -> None:
        """Assert that these calls were made. (See `plugmux.testing.assert_calls`.)"""
        __tracebackhide__ = True
        assert_calls(self.calls, *expected, **options)


@asynccontextmanager
async def plugin_host(
    plugin: Plugin | Callable[[], Plugin],
    *,
    name: str = "",
    configuration: Any = None,
    services: Iterable[Service] = (),
    restart: RestartPolicy | None = None,
    record: str | PathLike[str] | None = None,
    mask: Collection[str] = (),
    **options: Any,
) -> AsyncIterator[PluginHost]:
    """A runtime around a `Plugin` of this process, on a link in memory.

        async with plugin_host(Plugin(Store())) as host:
            await host.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))

    Args:
        plugin: the plugin; or what makes one, for plugins that are started more than once and keep nothing.
        name: the plugin's name; by default the one that it would register under.
        configuration: the plugin's configuration: a JSON object, a dataclass' object or a message.
        services: services of the host that the plugin may call.
        restart: what happens when it ends by itself; by default it stays as it is.
        record: a file that the calls are recorded to (see `Replay`).
        mask: names of fields whose values are secrets, masked in `record` and in the texts of assertions.
        options: further arguments of `Runtime`.

    Raises:
        PluginError: the plugin did not start or register.
        ConfigError: a setting is out of its range.
    """
    faults = LinkFaults()
    if not name:
        name = (plugin if isinstance(plugin, Plugin) else plugin()).registration.name
    launch = Launch((), name, runner=MemoryRunner(plugin, faults), restart=restart or RestartPolicy(tries=0))
    with _call_log(name, record, mask) as log:
        async with _host(launch, faults, log, configuration, services, options) as host:
            yield host


@asynccontextmanager
async def launch_plugin(
    command: str | Sequence[str] | Launch,
    *,
    configuration: Any = None,
    services: Iterable[Service] = (),
    record: str | PathLike[str] | None = None,
    mask: Collection[str] = (),
    **options: Any,
) -> AsyncIterator[PluginHost]:
    """A runtime around a plugin that is a process of its own.

    Args:
        command: the program, the argument list or the `Launch`.
        configuration: the plugin's configuration: a JSON object, a dataclass' object or a message.
        services: services of the host that the plugin may call.
        record: a file that the calls are recorded to (see `Replay`).
        mask: names of fields whose values are secrets, masked in `record` and in the texts of assertions.
        options: further arguments of `Runtime`.

    Raises:
        PluginError: the plugin did not start or register; the text has the last lines of its stderr.
        ConfigError: the command is none, or a setting is out of its range.
    """
    if not isinstance(command, Launch):
        command = Launch([command] if isinstance(command, str) else command, restart=RestartPolicy(tries=0))
    faults = None
    if command.runner is None and command.link == "socket":
        faults = LinkFaults()
        command = replace(command, runner=FaultyProcessRunner(faults))
    with _call_log(command.name, record, mask) as log:
        async with _host(command, faults, log, configuration, services, options) as host:
            yield host


@contextmanager
def _call_log(name: str, record: str | PathLike[str] | None, mask: Collection[str]) -> Iterator[CallLog]:
    if record is None:
        yield CallLog(mask)
        return
    with RecordingWriter(record, name) as recording:
        yield CallLog(mask, recording.write)


@asynccontextmanager
async def _host(
    launch: Launch,
    faults: LinkFaults | None,
    log: CallLog,
    configuration: Any,
    services: Iterable[Service],
    options: Mapping[str, Any],
) -> AsyncIterator[PluginHost]:
    if "configuration" in options or "plugins" in options:
        raise ConfigError("a host of plugmux.testing has one plugin: give its configuration alone, and no others")
    given = {} if configuration is None else {launch.name: configuration}
    interceptors = _with_log(log, options.get("interceptors", ()))
    runtime = Runtime(**{**options, "services": services, "configuration": given, "interceptors": interceptors})
    host = PluginHost(runtime, launch.name, faults, log)
    events = asyncio.create_task(_keep_events(host), name="plugmux: events of a test's host")
    try:
        await asyncio.sleep(0)  # The task reads from now on.
        await run_on_clock(_start(runtime, launch))
        yield host
    finally:
        await run_on_clock(runtime.close())
        await events


def _with_log(log: CallLog, given: Interceptors | Iterable[Interceptor]) -> Interceptors:
    """The interceptors that a test gives, and around them those that take down the calls of either direction."""
    if not isinstance(given, Interceptors):
        given = Interceptors(incoming=tuple(given))
    return Interceptors(
        incoming=(log.interceptor(Direction.TO_HOST), *given.incoming),
        outgoing=(log.interceptor(Direction.TO_PLUGIN), *given.outgoing),
    )


async def _start(runtime: Runtime, launch: Launch) -> None:
    await runtime.start()
    await runtime.launch(launch)


async def _keep_events(host: PluginHost) -> None:
    async for event in host.runtime.events():
        host.events.append(event)
