"""The runtime: the host's side of all its plugins."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..aio.closing import end_within, shielded
from ..aio.race import single
from ..contract.address import Address
from ..contract.registration import REGISTRATION_TIMEOUT
from ..contract.version import VERSION
from ..discovery.requirement import Requirement
from ..discovery.watch import Installed
from ..errors import ConfigError, StateError
from ..exchange import ASGIApp
from ..http import Server
from ..http.lifespan import Lifespan
from ..link.app import StreamHandler
from ..link.references import Loan
from ..link.remote import Remote
from ..link.servable import Servable
from ..runners.manual import by_hand
from ..yamux import Config, MemoryPool
from .admission import Admission
from .calls.breaker import BreakerPolicy
from .calls.retry import RetryPolicy
from .calls.router import Router
from .configuration import Configurable, Configurations
from .events import Event, event_of
from .external import SelfStartedPlugin
from .health.policy import HealthPolicy
from .lending import borrow, lend, open_instance
from .lifecycle import DRAIN_TIME, Lifecycle
from .logs.broadcast import Broadcast
from .logs.log import LogBook, LogEntry
from .permissions import Permissions
from .plugin import PluginHandle
from .registrar import Registrar
from .registry import Registry
from .socket.app import SocketApp
from .socket.events import EventsService
from .socket.listener import Listener
from .socket.management import Management, Version
from .source import PluginSource, as_source, goes_first
from .state import State

if TYPE_CHECKING:
    from ..connect import Interceptor, Service

__all__ = ["Runtime"]

OPEN_TIME = 10.0
SOCKET_TIME = 1.0
"""Seconds that requests to the runtime's sockets are given when it closes."""

logger = logging.getLogger("plugmux.runtime")

AnyClient = TypeVar("AnyClient")


class Runtime:
    """Launches plugins, lets others connect, and carries calls to all of them.

        async with Runtime(["./kv-plugin"]) as runtime:
            kv = runtime.client(KeyValueClient)

    A plugin that does not start or register raises nothing here: the others run on, and it can be seen in `plugins()`
    with its `error`, which calls to it raise as well.

    Args:
        plugins: what to run: paths, names with versions (`kv@^1.2`), argument lists, `Launch`es, or objects to serve
            from this process.
        name: the runtime's name, told to plugins.
        version: the host's version, told to plugins and clients; plugmux' own by default.
        plugin_dir: a directory of which every plugin is launched, in its highest version; one that is missing is a
            warning (see docs/discovery.md).
        plugin_path: where plugins are looked for that are given by name and version; `discovery.default_path()` by
            default.
        watch: seconds between two looks at these directories, for plugins added, removed and replaced; 0 for none.
        configuration: the configuration of each plugin, by its name: a JSON object, a dataclass' object or a message.
        listen: addresses to listen at (`unix:/path` or `unix:@abstract`), for plugins and clients.
        services: RPC services of the host that plugins may call.
        app: an ASGI app of the host that plugins may call. Its lifespan begins before the first plugin is started
            and ends when the last has ended.
        streams: raw streams of the host that plugins may open, by name.
        interceptors: run around every RPC that a plugin calls.
        registration_timeout: seconds that a plugin has to register, 60 by default, where its `Launch` says nothing
            else; one that takes long is told of in its log.
        request_timeout: seconds that a unary call to a plugin may take, whatever its caller allows; the plugin is told
            of it. 0 for no limit.
        protocol_versions: versions of the application's own protocol that the host speaks.
        parallel_starts: how many plugins are started at the same time; twice the processors by default.
        replicated: names of plugins that may connect by themselves more than once, where they ask for it.
        retry: when a call that failed may be made again.
        retry_methods: the same for single methods, by path (`"/kv.v1.KeyValueService/Put"`).
        breaker: when calls are kept from a plugin that fails them all.
        health: when plugins are checked, and what becomes of one that hangs.
        wait_for: names of plugins that their author starts by hand, under a debugger as a rule: `start` says how, and
            waits until they have registered. (`Launch.wait`)
        mux: settings of the links' mux.
        permissions: what plugins that start by themselves, and clients of the sockets, may do; which plugins decide on
            access to secrets (docs/security.md).

    Raises:
        ConfigError: a source is none, two launched plugins have one name, or a setting is out of its range.
    """

    def __init__(
        self,
        plugins: Iterable[PluginSource] = (),
        *,
        name: str = "plugmux",
        version: str = VERSION,
        plugin_dir: str | os.PathLike[str] | None = None,
        plugin_path: Sequence[str | os.PathLike[str]] | None = None,
        watch: float = 0.0,
        configuration: Mapping[str, Configurable] | None = None,
        listen: Iterable[str] = (),
        services: Iterable[Service] = (),
        app: ASGIApp | None = None,
        streams: Mapping[str, StreamHandler] | None = None,
        interceptors: Iterable[Interceptor] = (),
        registration_timeout: float = REGISTRATION_TIMEOUT,
        request_timeout: float = 0.0,
        protocol_versions: Sequence[int] = (1,),
        parallel_starts: int | None = None,
        replicated: Collection[str] = (),
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 -- it is frozen
        retry_methods: Mapping[str, RetryPolicy] | None = None,
        breaker: BreakerPolicy = BreakerPolicy(),  # noqa: B008 -- it is frozen
        health: HealthPolicy = HealthPolicy(),  # noqa: B008 -- it is frozen
        wait_for: Collection[str] = (),
        mux: Config | None = None,
        permissions: Permissions = Permissions(),  # noqa: B008 -- it is frozen
    ) -> None:
        if not registration_timeout > 0:
            raise ConfigError(f"registration_timeout is {registration_timeout} s; it must be above 0")
        if not 0 <= request_timeout < math.inf:
            raise ConfigError(f"request_timeout is {request_timeout} s; it must be 0 (no limit) or more, and finite")
        sources = [as_source(source) for source in plugins]
        self._sources = [source for source in sources if not isinstance(source, Requirement)]
        requirements = [source for source in sources if isinstance(source, Requirement)]
        self._installed = Installed(plugin_dir, plugin_path, requirements)
        self._watch = watch
        self._watching: asyncio.Task[None] | None = None
        self._wait_for = tuple(wait_for)
        self._registration_timeout = registration_timeout
        self._logs = LogBook()
        self._app = None if app is None else Lifespan(app)
        self._reception = Registrar(
            name,
            version,
            tuple(services),
            self._app,
            streams,
            tuple(interceptors),
            request_timeout,
            tuple(protocol_versions),
            mux,
            self._logs,
            health,
            Configurations(configuration),
            permissions,
            MemoryPool((mux or Config()).max_total_memory),
        )
        self._permissions = permissions
        self._registry = Registry(replicated)
        self._fleet = Lifecycle(
            self._registry,
            self._reception,
            self._installed,
            registration_timeout,
            parallel_starts or 2 * (os.cpu_count() or 1),
            breaker,
            self._changed,
        )
        self._events: Broadcast[Event] = Broadcast()
        self._admission = Admission(self._registry, permissions, self._events.publish)
        self.transport = Router(self._registry, retry, retry_methods, request_timeout=request_timeout)
        self._front = SocketApp(self.transport, self._hijacked, permissions)
        self._front.mount(Version(version))
        self._front.mount(Management(self, permissions))
        self._front.mount(EventsService(self))
        self._server = Server(self._front, lifespan=False)
        self._listeners = [Listener(Address.parse(text), self._server) for text in listen]
        self._started = False
        self._closing: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start all plugins in parallel and begin to listen; returns when every plugin runs or has failed.

        Plugins that are launched as access-control modules, and objects of this process, are started first: it listens
        when they run or have failed.

        Raises:
            StateError: the runtime has been started, or is closed, before or meanwhile.
            ConfigError: two plugins have the same name.
            ListenError: an address cannot be listened at; nothing is left running then.
        """
        self._fleet.check_open()
        if self._started:
            raise StateError("the runtime has been started already")
        self._started = True
        self._loop = asyncio.get_running_loop()
        found = self._installed.wanted()
        sources = [*self._sources, *(plugin.launch for plugin in found)]
        if self._wait_for:
            sources = by_hand(sources, self._wait_for)
        try:
            if self._app is not None:
                await self._app.startup()
            await self._fleet.begin(source for source in sources if goes_first(source, self._permissions))
            for listener in self._listeners:
                await listener.start()
            await self._fleet.begin(source for source in sources if not goes_first(source, self._permissions))
            self._fleet.check_open()
        except* (ConfigError, BaseException) as errors:
            await self.close()
            raise single(errors) from None
        if self._watch:
            following = self._fleet.follow(found, self._watch)
            self._watching = asyncio.create_task(following, name="plugmux: plugin directories")

    async def launch(self, source: PluginSource, *, name: str | None = None) -> PluginHandle:
        """Add one more plugin and wait until it runs.

        Args:
            source: as in the constructor.
            name: the name of an object of this process; its class' name by default.

        Raises:
            PluginError: it did not start or register; it is not kept.
            ConfigError: the source is none, or the name is taken.
            StateError: the runtime has been closed.

        Cancelling it ends the plugin.
        """
        return await self._fleet.launch(source, name)

    async def close(self) -> None:
        """End all plugins in parallel and stop listening. Harmless at any time, from any task, more than once.

        It takes no longer than its limits together, which docs/lifecycle.md lists. When the calling task is cancelled,
        it is done to the end, and the cancellation raised then; at once only in a handler whom a plugin has called,
        since the runtime waits for that one to end.

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
        return task in self._server.tasks or any(link.serves(task) for link in self._reception.links)

    async def _close(self) -> None:
        async with AsyncExitStack() as last:  # Each is done whatever becomes of those before it.
            last.push_async_callback(self._server.shutdown, SOCKET_TIME)
            last.callback(self._logs.close)
            last.callback(self._events.close)
            if self._app is not None:
                last.push_async_callback(self._app.shutdown)
            last.push_async_callback(self._fleet.close)
            for listener in self._listeners:
                last.push_async_callback(listener.close)
            if self._watching is not None and await end_within(0, [self._watching]):
                logger.error("the plugin directories are still being looked through, although that was cancelled")

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
            options: what the class takes beside the transport.
        """
        return client_class(self.transport if plugin is None else self.transport.named(plugin), **options)

    async def open_instance(self, plugin: str, configuration: Configurable, *, timeout: float = OPEN_TIME) -> Remote:
        """Ask a plugin for an instance: an object of its own configuration, in the plugin's one process.

        Args:
            plugin: the name of the plugin.
            configuration: of the instance: a JSON object, a dataclass' object or a message.
            timeout: seconds that this may take, with the wait for a plugin that is starting.

        Returns:
            The instance; it ends when it is released (`async with`), or with the plugin's process.

        Raises:
            BadConfiguration: it is not what an instance of the plugin takes.
            PluginError: there is no such plugin, it does not run, or it gives no instances.
            RpcError: the plugin could not open it.
            TimeoutError: the time is over.
        """
        return await open_instance(self.transport, plugin, configuration, timeout)

    def lend(self, *lent: Servable | Remote, to: str) -> Loan:
        """Let a plugin call an object of the host's: `async with runtime.lend(service, to="kv") as reference`.

        Args:
            lent: the services of the object; or one object that another plugin has lent.
            to: the name of the plugin. Of replicas all may call it that run now.

        Returns:
            The loan; its `reference` goes into a message to the plugin.

        Raises:
            ConfigError: an object cannot be served.
            PluginError: there is no such plugin, or it does not run.
        """
        return lend(self._registry.named(to), lent, self._reception.interceptors)

    def borrow(self, reference: str, *, of: str) -> Remote:
        """An object that a plugin has lent to the host.

        Args:
            reference: what stood in the plugin's message. (For one from an instance: `instance.borrow`.)
            of: the name of the plugin.

        Raises:
            PluginError: there is no such plugin, it does not run, or it has replicas, which only `Link.of` tells apart.
        """
        return borrow(self._registry.named(of), reference)

    def plugins(self) -> list[PluginHandle]:
        """All plugins, sorted by name."""
        return self._registry.sorted()

    def plugin(self, name: str) -> PluginHandle:
        """The plugin of that name; of replicas the first.

        Raises:
            PluginError: there is none.
        """
        return self._registry.named(name)[0]

    def events(self, *, present: bool = False) -> AsyncGenerator[Event, None]:
        """Every change of a plugin's state or health, from the first `anext` until the runtime closes.

        A reader that lags by more than a thousand events loses the oldest. Where a plugin is replaced, one event tells
        that a new process has its place; neither how that started nor how the old one ends is told.

        Args:
            present: whether to begin with an event for each plugin as it stands.
        """
        return self._events.read(lambda: map(event_of, self.plugins()) if present else ())

    def logs(self, plugin: str | None = None) -> list[LogEntry]:
        """The last lines that a plugin has said, oldest first: at most 500, and 128 Ki characters, of each plugin.

        Args:
            plugin: the plugin's name; all plugins by default.

        Raises:
            PluginError: there is no plugin of that name, and has not been.
        """
        self._check_logged(plugin)
        return self._logs.kept(plugin)

    def follow_logs(self, plugin: str | None = None) -> AsyncGenerator[LogEntry, None]:
        """What `logs` gives, and then every line as it comes, until the runtime closes.

        A reader that lags by more than a thousand lines loses the oldest.

        Args:
            plugin: the plugin's name; all plugins by default.

        Raises:
            PluginError: there is no plugin of that name, and has not been.
        """
        self._check_logged(plugin)
        return self._logs.follow(plugin)

    def _check_logged(self, plugin: str | None) -> None:
        if plugin is not None and plugin not in self._logs:
            self._registry.named(plugin)

    def mount(self, service: Service) -> None:
        """Serve one more service of the host on the listening sockets."""
        self._front.mount(service)

    @property
    def access_control(self) -> Collection[str]:
        """Names of the plugins that must allow whatever secrets are asked for over a socket."""
        return self._permissions.access_control

    @property
    def addresses(self) -> list[str]:
        """The addresses that the runtime listens at."""
        return [str(listener.address) for listener in self._listeners]

    # -- management ---------------------------------------------------------------------------------------------------

    async def disable(self, name: str) -> None:
        """End a launched plugin and keep it from being started again.

        Raises:
            PluginError: there is no such plugin, or it was not launched by this runtime.
        """
        await self._fleet.disable(name)

    async def enable(self, name: str) -> None:
        """Start a plugin that has been disabled, or that has stopped; harmless where it runs.

        Raises:
            PluginError: there is no such plugin, it was not launched by this runtime, or it did not start.
            StateError: the runtime has been closed.
        """
        await self._fleet.enable(name)

    async def restart(self, name: str) -> None:
        """End a launched plugin and start it anew, while calls to it wait. Done to the end even if the caller leaves.

        Raises:
            PluginError: there is no such plugin, it was not launched by this runtime, or it did not start.
            StateError: the runtime has been closed.
        """
        await self._fleet.restart(name)

    async def replace(
        self,
        name: str,
        source: PluginSource | None = None,
        *,
        drain_time: float = DRAIN_TIME,
        same_services: bool = True,
    ) -> PluginHandle:
        """Put a new process in the place of a launched plugin, while calls go on.

        The new one starts beside the old. When it has registered, answers `/health` and serves what the old one serves,
        calls that begin go to it; the old one ends when the calls under way on it have ended.

        Args:
            name: the plugin, which the new one is to be called as well.
            source: what to start, with its replicas; what the old one was started from by default.
            drain_time: seconds that calls under way may still take; what is left then is cut off.
            same_services: whether the new one must serve all that the old one does.

        Raises:
            PluginError: there is no such plugin, it was not launched by this runtime, or it is disabled; or the new one
                failed, and the old one works on.
            ConfigError: the source is none, or the plugin is being replaced already, or is detached.
            StateError: the runtime has been closed.
        """
        return await self._fleet.replace(name, source, drain_time=drain_time, same_services=same_services)

    async def configure(self, name: str, configuration: Configurable) -> None:
        """Change the configuration of a plugin; returns when the new one is in effect.

        A plugin that takes changes while it runs is given it; another that was launched is replaced by a process that
        begins with it (see `replace`). It is done to the end even if the caller is cancelled.

        Args:
            name: the plugin.
            configuration: the whole of its new configuration, as in the constructor.

        Raises:
            BadConfiguration: it is not what the plugin takes; the message names the path of the bad value.
            PluginError: there is no such plugin, or it did not take the configuration; it goes on with the old one.
        """
        await self._fleet.configure(name, configuration)

    def _changed(self, plugin: PluginHandle, before: State) -> None:
        if plugin.state is State.RUNNING:
            self._registry.refresh()
        if not self._registry.is_aside(plugin):
            self._events.publish(event_of(plugin, before))
            if plugin.state is State.RUNNING:
                self._admission.settle(plugin)

    # -- plugins that connect by themselves ---------------------------------------------------------------------------

    async def _hijacked(self, scope: MutableMapping[str, Any]) -> None:
        """Make a connection to a socket of ours a link, and keep it until it ends."""
        plugin = SelfStartedPlugin(self._registry, self._admission, self._changed)
        await plugin.arrive(scope, self._reception, self._registration_timeout)
