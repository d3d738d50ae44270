"""The runtime: the host's side of all its plugins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..aio.closing import shielded
from ..errors import StateError
from ..exchange import ASGIApp
from .admission import Admission
from .calls.router import Router
from .lifecycle import Lifecycle
from .logs.log import LogBook
from .plugin import PluginHandle, PluginRecord
from .registrar import Registrar
from .registry import Registry
from .settings import Host, Interceptors, Permissions, Policies
from .source import PluginSource, as_sources

if TYPE_CHECKING:
    from ..connect import Client, Interceptor, Service
    from ..http.lifespan import Lifespan
    from ..link.app import StreamHandler
    from ..link.references import Loan
    from ..link.remote import RemoteObject
    from ..link.servable import Servable
    from .changes.configuration import Configurable
    from .events import Event
    from .logs.log import LogEntry
    from .socket.sockets import Sockets, SocketServer

__all__ = ["Runtime"]

OPEN_TIME = 10.0
AnyClient = TypeVar("AnyClient")
ServiceClient = TypeVar("ServiceClient", bound="Client")


class Runtime:
    """Launches plugins, lets others connect, and carries calls to all of them.

        async with Runtime(["./kv-plugin"]) as runtime:
            kv = runtime.client(KeyValueClient)

    A plugin that does not start or register raises nothing here, unless its `Launch` says that it is required: the
    others run on, and it can be seen in `plugins()` with its `error`, which calls to it raise as well.

    Args:
        plugins: what to run: paths, names (`kv`, `kv@^1.2`, `module:object`), argument lists, `Launch`, `Directory`,
            `Installed`, `Remote`, or objects to serve from this process.
        services: RPC services of the host that plugins may call.
        app: an ASGI app of the host that plugins may call. Its lifespan spans the lives of all plugins.
        streams: raw streams of the host that plugins may open, by name.
        interceptors: run around every RPC that a plugin calls; `Interceptors` sets those of the host's own calls too.
        listen: addresses to listen at, for plugins and clients: `unix:/path`, `unix:@abstract`, `tls://host:port`.
        configuration: the configuration of each plugin, by its name: a JSON object, a dataclass' object or a message.
        policies: how plugins are restarted, retried, checked and timed.
        permissions: what plugins that start by themselves, and clients of the sockets, may do (docs/security.md).
        host: what plugins and clients are told of the host.

    Raises:
        ConfigError: an entry of `plugins` is not a plugin source, or a setting is out of its range.
    """

    def __init__(
        self,
        plugins: Iterable[PluginSource] = (),
        *,
        services: Iterable[Service] = (),
        app: ASGIApp | None = None,
        streams: Mapping[str, StreamHandler] | None = None,
        interceptors: Iterable[Interceptor] | Interceptors = (),
        listen: Iterable[str | SocketServer] = (),
        configuration: Mapping[str, Configurable] | None = None,
        policies: Policies = Policies(),  # noqa: B008 -- it is frozen
        permissions: Permissions = Permissions(),  # noqa: B008 -- it is frozen
        host: Host = Host(),  # noqa: B008 -- it is frozen
    ) -> None:
        self._sources = as_sources(plugins)
        self._app: Lifespan | None = None
        if app is not None:
            from ..http.lifespan import Lifespan

            self._app = Lifespan(app)
        texts: dict[str, str] = {}
        if configuration:
            from .changes.configuration import as_json

            texts = {name: as_json(name, value) for name, value in configuration.items()}
        self._logs = LogBook()
        both = interceptors if isinstance(interceptors, Interceptors) else Interceptors(tuple(interceptors))
        self._registrar = Registrar(
            host,
            policies,
            permissions,
            services=tuple(services),
            app=self._app,
            streams=streams,
            interceptors=tuple(both.incoming),
            configurations=texts,
            logs=self._logs,
        )
        self._registry = Registry(permissions)
        admission = Admission(self._registry, permissions)
        self._registry.on_shared = admission.settle
        self._lifecycle = Lifecycle(self._registry, self._registrar)
        self._outgoing = tuple(both.outgoing)
        self.transport = Router(self._registry, policies)
        self._sockets: Sockets | None = None
        if addresses := tuple(listen):
            from .socket.sockets import Sockets

            self._sockets = Sockets(addresses, self, self.transport, self._registrar, self._registry, admission)
        self._started = False
        self._closing: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start all plugins in parallel and begin to listen; returns when every plugin runs or has failed.

        Access-control modules and objects of this process are started first; it listens when they run or have failed.
        Where it raises, nothing is left running.

        Raises:
            StateError: the runtime has been started, or is closed, before or meanwhile.
            ConfigError: two plugins have the same name.
            PluginError: a required plugin does not run.
            ListenError: an address cannot be listened at.
        """
        self._lifecycle.check_open()
        if self._started:
            raise StateError("the runtime has been started already")
        self._started = self._registry.started = True
        self._loop = asyncio.get_running_loop()
        try:
            if self._app is not None:
                await self._app.startup()
            await self._lifecycle.start(self._sources, self._sockets.start if self._sockets is not None else None)
        except BaseException:
            await self.close()
            raise

    async def launch(self, source: PluginSource, *, name: str | None = None) -> PluginHandle:
        """Add one more plugin and wait until it runs.

        `source` is as in the constructor; `name` names an object of this process, by default as its class. Cancelling
        the call ends the plugin.

        Raises:
            PluginError: it did not start or register; it is not kept.
            ConfigError: `source` is not a plugin source, or the name is taken.
            StateError: the runtime has been closed.
        """
        return self._handle(await self._lifecycle.launch(source, name))

    async def close(self) -> None:
        """End all plugins in parallel and stop listening. Harmless at any time, from any task, more than once.

        It takes no longer than its limits together, which docs/lifecycle.md lists. When the calling task is cancelled,
        it is done to the end before the cancellation is raised; at once in a handler, which the runtime waits for.

        Raises:
            StateError: the runtime was started in another event loop.
        """
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise StateError(
                "the runtime was started in another event loop and can only be closed there: "
                "asyncio.run_coroutine_threadsafe(runtime.close(), loop)"
            )
        if self._closing is None:
            self._loop = loop
            self._closing = asyncio.create_task(self._close(), name="plugmux: close")
        await shielded(self._closing, leaves=self._is_served)

    def _is_served(self) -> bool:
        task = asyncio.current_task()
        by_socket = self._sockets is not None and task in self._sockets.tasks
        return by_socket or any(link.serves(task) for link in self._registrar.links)

    async def _close(self) -> None:
        async with AsyncExitStack() as last:  # Each is done whatever becomes of those before it.
            if self._sockets is not None:
                last.push_async_callback(self._sockets.close)
            last.callback(self._logs.close)
            last.callback(self._registry.events.close)
            if self._app is not None:
                last.push_async_callback(self._app.shutdown)
            last.push_async_callback(self._lifecycle.close)
            if self._sockets is not None:
                last.push_async_callback(self._sockets.stop_listening)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- calls --------------------------------------------------------------------------------------------------------

    def client(self, client_class: Callable[..., AnyClient], *, plugin: str | None = None, **options: Any) -> AnyClient:
        """A client of a service that a plugin serves.

        Args:
            client_class: a generated client class.
            plugin: the name of the plugin; needed only where several serve the service.
            options: what the class takes besides the transport. Its interceptors run inside those of the runtime.
        """
        if self._outgoing:
            options["interceptors"] = (*self._outgoing, *options.get("interceptors", ()))
        return client_class(self.transport if plugin is None else self.transport.named(plugin), **options)

    def clients(self, client_class: type[ServiceClient], **options: Any) -> list[tuple[str, ServiceClient]]:
        """A client for each plugin that serves a service, with the plugin's name, sorted by name.

        The arguments are those of `client`. A plugin that has registered is among them whether it runs or not.
        """
        names = self._registry.names_serving(client_class.spec.name)
        return [(name, self.client(client_class, plugin=name, **options)) for name in names]

    async def open_instance(
        self, plugin: str, configuration: Configurable, *, timeout: float = OPEN_TIME
    ) -> RemoteObject:
        """Ask a plugin for an instance: an object of its own configuration, until it is released (`async with`).

        Args:
            plugin: the name of the plugin.
            configuration: of the instance, as in the constructor.
            timeout: seconds that this may take, with the wait for a plugin that is starting.

        Raises:
            BadConfiguration: it is not what an instance of the plugin takes.
            PluginError: there is no such plugin, it does not run, or it gives no instances.
            RpcError: the plugin could not open it.
            TimeoutError: it took longer.
        """
        from .calls.lending import open_instance

        return await open_instance(self.transport, plugin, configuration, timeout)

    def lend(self, *lent: Servable | RemoteObject, to: str) -> Loan:
        """Let a plugin call an object of the host's: `async with runtime.lend(service, to="kv") as reference`.

        Args:
            lent: the services of the object; or one object that another plugin has lent.
            to: the name of the plugin; all replicas of it that run now may call the object.

        The `reference` of the loan goes into a message to the plugin.

        Raises:
            ConfigError: an object cannot be served.
            PluginError: there is no such plugin, or it does not run.
        """
        from .calls.lending import lend

        return lend(self._registry.named(to), lent, self._registrar.interceptors)

    def borrow(self, reference: str, *, of: str) -> RemoteObject:
        """An object that a plugin has lent to the host.

        `reference` stood in the message of the plugin `of`. (For one from an instance: `instance.borrow`.)

        Raises:
            PluginError: there is no such plugin, it does not run, or it has replicas, which only `Link.of` tells apart.
        """
        from .calls.lending import borrow

        return borrow(self._registry, of, reference)

    def plugins(self) -> list[PluginHandle]:
        """All plugins, sorted by name."""
        return [self._handle(record) for record in self._registry.sorted()]

    def plugin(self, name: str) -> PluginHandle:
        """The plugin of that name; of replicas the first. Raises `PluginError` where there is none."""
        return self._handle(self._registry.named(name)[0])

    def events(self, *, present: bool = False) -> AsyncGenerator[Event, None]:
        """Every change of a plugin's state or health, from the first `anext` until the runtime closes.

        A reader that lags by more than a thousand events loses the oldest. Where a plugin is replaced, one event tells
        that a new process has its place; neither how that started nor how the old one ends is told. `present` begins
        with an event for each plugin as it stands.
        """
        return self._registry.events.read(self._registry.present if present else tuple)

    def logs(self, plugin: str | None = None) -> list[LogEntry]:
        """The last lines of a plugin, or of all, oldest first: at most 500, and 128 Ki characters, of each plugin.

        It raises `PluginError` where there is no plugin of that name, and has not been.
        """
        if plugin is not None and plugin not in self._logs:
            self._registry.named(plugin)
        return self._logs.kept(plugin)

    def follow_logs(self, plugin: str | None = None) -> AsyncGenerator[LogEntry, None]:
        """What `logs` gives and raises, and then every line as it comes, until the runtime closes.

        A reader that lags by more than a thousand lines loses the oldest.
        """
        self.logs(plugin)
        return self._logs.follow(plugin)

    def mount(self, service: Service) -> None:
        """Serve one more service of the host on the listening sockets, if there are any."""
        if self._sockets is not None:
            self._sockets.mount(service)

    @property
    def access_control(self) -> Collection[str]:
        """Names of the plugins that must allow whatever secrets are asked for over a socket."""
        return self._registrar.permissions.access_control

    @property
    def addresses(self) -> list[str]:
        """The addresses that the runtime listens at."""
        return [] if self._sockets is None else self._sockets.addresses

    # -- management ---------------------------------------------------------------------------------------------------

    async def disable(self, name: str) -> None:
        """End a launched plugin and keep it from being started again.

        Raises:
            PluginError: there is no such plugin, or it was not launched by this runtime.
        """
        await self._lifecycle.disable(name)

    async def enable(self, name: str) -> None:
        """Start a plugin that has been disabled, or that has stopped; harmless where it runs.

        Raises:
            PluginError: there is no such plugin, it was not launched by this runtime, or it did not start.
            StateError: the runtime has been closed.
        """
        await self._lifecycle.enable(name)

    async def restart(self, name: str) -> None:
        """End a launched plugin and start it anew, while calls to it wait. Done to the end even if the caller leaves.

        It raises what `enable` does.
        """
        await self._lifecycle.restart(name)

    async def replace(
        self,
        name: str,
        source: PluginSource | None = None,
        *,
        drain_time: float | None = None,
        same_services: bool = True,
    ) -> PluginHandle:
        """Put a new process in the place of a launched plugin, while calls go on.

        The new one starts beside the old. When it has registered, answers `/health` and serves what the old one serves,
        calls that begin go to it; the old one ends when the calls under way on it have ended.

        Args:
            name: the plugin, which the new one is to be called as well.
            source: what to start, with its replicas; what the old one was started from by default.
            drain_time: seconds for calls under way, before they are cut off; `Timeouts.replacement` by default.
            same_services: whether the new one must serve all that the old one does.

        Raises:
            PluginError: there is no such plugin, it was not launched here or is disabled; or the new one failed, and
                the old one works on.
            ConfigError: `source` is not one plugin, or the plugin is being replaced already, or is detached.
            StateError: the runtime has been closed.
        """
        new = await self._lifecycle.replace(name, source, drain_time=drain_time, same_services=same_services)
        return self._handle(new)

    async def configure(self, name: str, configuration: Configurable) -> None:
        """Change the configuration of a plugin; returns when the new one is in effect.

        A plugin that takes changes while it runs is given it; another that was launched is replaced by a process that
        begins with it (see `replace`). It is done to the end even if the caller is cancelled. `configuration` is the
        whole of the new one, as in the constructor.

        Raises:
            BadConfiguration: it is not what the plugin takes; the message names the path of the bad value.
            PluginError: there is no such plugin, or it did not take the configuration; it goes on with the old one.
        """
        await self._lifecycle.configure(name, configuration)

    def _handle(self, record: PluginRecord) -> PluginHandle:
        if record.handle is None:
            record.handle = PluginHandle(record, self._lifecycle)
        return record.handle
