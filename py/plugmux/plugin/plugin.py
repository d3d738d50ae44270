"""A plugin: what it serves, and its stays with a runtime.

    connecting ──> registering ──> serving ──> ended

A launched plugin has one stay, on the link that it inherited, and ends with it. A plugin that starts by itself dials
the runtime's socket, and dials again with a growing delay when the runtime goes away.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from plugmux_proto.plugins.v1.plugins_connect import PluginService
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest, ShutdownRequest, ShutdownResponse

from ..aio.local_peer import PeerUsers
from ..contract.address import Address
from ..contract.launch import LaunchConfig
from ..contract.registration import (
    DIAGNOSTICS_SERVICE,
    HEALTH_SERVICE,
    REFLECTION_SERVICE,
    REGISTRATION_TIMEOUT,
    SAID_NAME,
    Configuration,
    Registration,
)
from ..errors import ConfigError, SessionClosed
from ..exchange import ASGIApp, ClientTransport, Request, Response, StreamingResponse
from ..link.app import Gate, LinkApp, StreamHandler
from ..link.link import Link, Peer
from ..link.servable import Servable, announce, services_of
from .dial import DialError, connect, dial
from .orphan import CLEAN_UP_TIME, RuntimeWatch
from .register import RegistrationFailed, register

if TYPE_CHECKING:
    from ..connect import Context, Interceptor, Service
    from ..services.health import Health
    from ..yamux import Config
    from .configuration import Configured

__all__ = ["Plugin"]

FIRST_REDIAL = 0.2
MAX_REDIAL = 10.0
DRAIN_TIME = 10.0
"""Seconds that calls under way are given when the plugin ends, where the runtime does not cut them off before."""
NEAR_REDIAL = 1.0
"""Seconds between two tries to reach the runtime after the one that launched a detached plugin."""

AnyClient = TypeVar("AnyClient")
OnLink: TypeAlias = Callable[[Link, Gate], AbstractAsyncContextManager[None]]
Lifespan: TypeAlias = "Callable[[Plugin], AbstractAsyncContextManager[object]]"


class Plugin:
    """A process that serves a runtime: `Plugin(service, ..., version="v1.0.0").run()`.

    Args:
        servables: generated services, secrets providers, or anything else of `plugmux.link.servable`.
        name: the name to register under when the plugin starts by itself; the file name of the program by default. A
            launched plugin is named by its runtime.
        version: semantic version with a leading "v".
        app: an ASGI app for requests that no service takes. Its lifespan begins before the plugin registers and ends
            behind `lifespan`.
        streams: handlers of raw streams, by endpoint name.
        interceptors: run around every RPC served.
        protocol_versions: the versions of the application's own protocol that this plugin speaks.
        configuration: what configuration the plugin takes; a `Configured` gives it as an object of a type of yours.
        lifespan: called with the plugin for every stay with a runtime, gives an asynchronous context manager that is
            entered before the plugin registers, and left when the calls under way have ended and before its link
            closes. The host can be called from it; it answers once the plugin has registered.
        priority: rank among several that serve the same; the higher is asked first.
        replica: whether this plugin may be one of several with its name.
        capabilities: free names, for programs that choose among plugins.
        labels: free metadata.
        mux: settings of the link's mux.
        peer_users: names or numbers of users whose runtime the plugin connects to, beside its own user's and root's;
            those that `PLUGMUX_PEER_USERS` names count as well.

    Raises:
        ConfigError: an object cannot be served, two serve the same service, or there is no such user.
        RegistrationRefused: the name, the version or another value would be refused by every runtime.
    """

    def __init__(
        self,
        *servables: Servable,
        name: str | None = None,
        version: str = "v0.0.0",
        app: ASGIApp | None = None,
        streams: Mapping[str, StreamHandler] | None = None,
        interceptors: Iterable[Interceptor] = (),
        protocol_versions: Sequence[int] = (),
        configuration: Configuration | Configured[Any] | None = None,
        lifespan: Lifespan | None = None,
        priority: int = 0,
        replica: bool = False,
        capabilities: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        mux: Config | None = None,
        peer_users: Iterable[str | int] = (),
    ) -> None:
        self._services = services_of(servables)
        self._app = app
        self._streams = streams
        self._interceptors = tuple(interceptors)
        self._announcement = announce(
            servables,
            RegisterPluginRequest(
                name=name or default_name(),
                version=version,
                protocol_versions=protocol_versions,
                priority=priority,
                replica=replica,
                capabilities=capabilities,
                labels=labels or {},
            ),
        )
        self._configured: Configured[Any] | None = None
        if configuration is not None:
            self._declare(configuration)
        self.registration = Registration.from_request(self._announcement)
        self.configuration_json = ""
        self.protocol_version = 0
        self.prints_stacks = False
        self.watch: RuntimeWatch | None = None
        self.shutting_down: asyncio.Task[Any] | None = None
        self._health: Health | None = None
        self._beside: list[OnLink] = []
        self.transport: ClientTransport = _CurrentLink(self)
        self.link: Link | None = None
        self._lifespan: Lifespan = lifespan or (lambda plugin: nullcontext())
        self._mux = mux
        self._peer_users = PeerUsers(peer_users)
        self._stop = asyncio.Event()
        self.left = asyncio.Event()

    def _declare(self, configuration: Configuration | Configured[Any]) -> None:
        declared = configuration
        if not isinstance(declared, Configuration):
            from .configuration import PluginConfigurationService

            self._configured, declared = declared, declared.declared
            self._services.append(PluginConfigurationService(self._configured))
        declared.to_schema(self._announcement.configuration)

    @property
    def health(self) -> Health:
        """Tells the runtime whether the plugin and its services are ready: `plugin.health.set("", False)`."""
        if self._health is None:
            from ..services.health import Health

            given = [service for service in self._services if isinstance(service, Health)]
            self._health = given[0] if given else Health(*(service.spec.name for service in self._services))
        return self._health

    def beside(self, companion: OnLink) -> None:
        """Enter a context manager for every further stay with a runtime; it is left before the link closes.

        Args:
            companion: called with the link and its gate, which opens when the plugin has registered.
        """
        self._beside.append(companion)

    def client(self, client_class: Callable[..., AnyClient], **options: Any) -> AnyClient:
        """A client of a service that the runtime serves; it follows the plugin from link to link.

        Args:
            client_class: a generated client class.
            options: what the class takes beside the transport.
        """
        return client_class(self.transport, **options)

    def run(
        self,
        *,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        clean_up_time: float = CLEAN_UP_TIME,
    ) -> None:
        """Serve until the runtime or a signal ends the plugin; this is a plugin program's last line as a rule.

        Started by hand, without a runtime, it says on stderr what it is and exits with status 2. What stands behind it
        is run when the plugin has ended in order.

        Args:
            loop_factory: makes the event loop, for example `uvloop.new_event_loop`.
            clean_up_time: seconds that a launched plugin has to end, with all that stands behind this, when its runtime
                has died (10 by default); then it is killed. What it prints goes nowhere meanwhile.

        Raises:
            SystemExit: with 1 when the runtime could not be reached or refused the plugin, with 2 when there is none;
                or as a handler has raised it, which ends the plugin in order.
        """
        from .program import run

        run(self, loop_factory, clean_up_time)

    def stop(self) -> None:
        """End the present stay in order, and begin no other."""
        self._stop.set()

    async def serve_launched(self, config: LaunchConfig) -> None:
        """Serve the runtime that launched this process, until either ends the stay; detached, those after it as well.

        Raises:
            DialError: the launch names a socket, and nobody listens there.
            RegistrationFailed: the runtime refused the plugin, or went away.

        From here on `registration.name` is the name that the runtime has given it.
        """
        self._announcement.name = config.name
        self.registration = replace(self.registration, name=config.name)
        if config.detached:
            await self._come_again(lambda link: self._connect(link, config), config.name, config.timeout, NEAR_REDIAL)
            return
        link, gate = self._new_link(config.timeout)
        if config.socket:
            await self._connect(link, config)
        elif config.is_pipe_pair:
            await link.over_pipes(config.read_fd, config.write_fd)
        else:
            await link.over_socket(socket.socket(fileno=config.read_fd))
        await self._stay(link, gate, config.name, config.timeout)

    async def serve_dialling(self, address: Address) -> None:
        """Serve the runtime that listens at an address, again and again as it comes and goes, until `stop`.

        Raises:
            DialError: there was no runtime at the first try, or it is another user's.
            RegistrationFailed: the runtime refused the plugin at the first try.
        """
        await self._come_again(
            lambda link: dial(address, lambda: link.mux, users=self._peer_users),
            self._announcement.name,
            REGISTRATION_TIMEOUT,
            MAX_REDIAL,
        )

    async def _connect(self, link: Link, config: LaunchConfig) -> None:
        await link.over_socket(await connect(config.socket, config.timeout, self._peer_users))

    async def _come_again(
        self, reach: Callable[[Link], Awaitable[None]], name: str, timeout: float, longest_delay: float
    ) -> None:
        delay, served = FIRST_REDIAL, False
        while not self._stop.is_set():
            link, gate = self._new_link(timeout)
            try:
                await reach(link)
                await self._stay(link, gate, name, timeout)
                delay, served = FIRST_REDIAL, True
            except (DialError, RegistrationFailed):
                if not served:
                    raise
            import random  # a launched plugin needs none

            await self._pause(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter, not a secret
            delay = min(delay * 2, longest_delay)

    def _new_link(self, timeout: float) -> tuple[Link, Gate]:
        gate = Gate(timeout)
        site = LinkApp(
            [*self._services, _Shutdown(self)],
            app=self._app,
            streams=self._streams,
            gate=gate,
            interceptors=self._interceptors,
            lazy={
                HEALTH_SERVICE: lambda: self.health,
                DIAGNOSTICS_SERVICE: _diagnostics,
                REFLECTION_SERVICE: lambda: _reflection(self._services),
            },
        )
        return Link(site, initiator=True, peer=Peer("the runtime"), config=self._mux), gate

    async def _stay(self, link: Link, gate: Gate, name: str, timeout: float) -> None:
        request = RegisterPluginRequest()
        request.CopyFrom(self._announcement)
        request.name = name
        request.prints_stacks = self.prints_stacks
        self.link = link
        self.left.clear()
        async with link:
            if self.watch is not None:
                self.watch.on_death(asyncio.get_running_loop(), link.abort)
            try:
                await link.startup()
                async with AsyncExitStack() as beside:
                    for companion in self._beside:
                        await beside.enter_async_context(companion(link, gate))
                    await beside.enter_async_context(self._lifespan(self))
                    response = await register(link, request, timeout)
                    self.configuration_json = response.configuration_json
                    self.protocol_version = response.protocol_version
                    if self._configured is not None:
                        self._take_configuration(self._configured, link)
                    gate.open()
                    await self._until_over(link)
                    await link.drain(DRAIN_TIME, but=self.shutting_down)
            finally:
                self.left.set()

    def _take_configuration(self, configured: Configured[Any], link: Link) -> None:
        try:
            configured.take(self.configuration_json)
        except ConfigError:
            link.abort()  # Nothing may be answered any more: the runtime would take the plugin for one that works.
            raise

    async def _until_over(self, link: Link) -> None:
        waiting = [asyncio.ensure_future(link.wait_closed()), asyncio.ensure_future(self._stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if self.watch is not None and not self._stop.is_set():
            await self.watch.settle()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass


def _diagnostics() -> Service:
    from .stacks import Diagnostics

    return Diagnostics()


def _reflection(services: Iterable[Service]) -> Service:
    from ..services.reflection import Reflection

    return Reflection(services)


class _Shutdown(PluginService):
    """The service that every plugin serves beside its own."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    async def shutdown(self, request: ShutdownRequest, context: Context) -> ShutdownResponse:
        self._plugin.shutting_down = asyncio.current_task()
        self._plugin.stop()
        await self._plugin.left.wait()
        return ShutdownResponse()


class _CurrentLink:
    """The transport to whichever runtime the plugin is linked to at the time of the call."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def _transport(self) -> ClientTransport:
        if self._plugin.link is None:
            raise SessionClosed(
                "the plugin is not linked to a runtime yet; call the host from a handler or a task of run()"
            )
        return self._plugin.link.transport

    async def fetch(self, request: Request, limit: int) -> Response:
        return await self._transport().fetch(request, limit)

    async def send(self, request: Request) -> StreamingResponse:
        return await self._transport().send(request)


def default_name() -> str:
    """The name of a plugin that starts by itself: the file name of its program, or of its package (`python -m`)."""
    folder, program = os.path.split(sys.argv[0] or sys.executable)
    if program == "__main__.py":
        program = os.path.basename(folder)
    for suffix in (".exe", ".py"):
        program = program.removesuffix(suffix)
    return program if SAID_NAME.fullmatch(program) else "plugin"
