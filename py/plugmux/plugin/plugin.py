"""A plugin as its author writes it: what it serves, and what it says of itself."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

from ..aio.local_peer import PeerUsers
from ..contract.registration import (
    DIAGNOSTICS_SERVICE,
    HEALTH_SERVICE,
    REFLECTION_SERVICE,
    SAID_NAME,
    Configuration,
    Registration,
)
from ..exchange import ASGIApp, ClientTransport
from ..link.app import Gate, LinkApp, StreamHandler
from ..link.servable import Caller, Servable, announce, calling, services_of
from .connection import OneOfSeveralApp, OnLink, PluginControl, RuntimeConnection
from .orphan import ORPHAN_CLEAN_UP_TIME

if TYPE_CHECKING:
    from ..connect import Interceptor, Service
    from ..link.link import Link
    from ..network.tls import TLS
    from ..services.health import HealthService
    from ..yamux import Config
    from .configuration import Configured

__all__ = ["Plugin", "Traits"]

AnyClient = TypeVar("AnyClient")
PluginLifespan: TypeAlias = "Callable[[Plugin], AbstractAsyncContextManager[object]]"


@dataclass(frozen=True, slots=True)
class Traits:
    """What a plugin says of itself at registration for those who choose among plugins.

    Args:
        priority: rank among several plugins that serve the same; the higher is asked first (0).
        replica: whether this plugin may be one of several with its name (no).
        capabilities: names of the application's own, for programs that choose among plugins.
        labels: metadata of the application's own.
        protocol_versions: the versions of the application's own protocol that the plugin speaks (version 1 alone).
    """

    priority: int = 0
    replica: bool = False
    capabilities: Iterable[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    protocol_versions: Sequence[int] = ()


class Plugin:
    """A process that serves a runtime: `Plugin(service, ..., version="v1.0.0").run()`.

    Args:
        servables: generated services, secrets providers, or any other object of `plugmux.link.servable`.
        name: the name to register under when the plugin starts by itself; the file name of the program by default. A
            launched plugin is named by its runtime.
        version: semantic version with a leading "v".
        app: an ASGI app for requests that no service takes. Its lifespan begins before the plugin registers and ends
            after that of `lifespan`.
        streams: handlers of raw streams, by endpoint name.
        interceptors: run around every RPC served.
        configuration: what configuration the plugin takes; a `Configured` gives it as an object of a type of yours.
        lifespan: called with the plugin for each link to a runtime, gives an asynchronous context manager. It is
            entered before the plugin registers, and left when the calls under way have ended and before the link
            closes. The host can be called from it; it answers once the plugin has registered.
        traits: what the plugin says of itself: priority, capabilities, labels and the like.
        mux: settings of the link's mux.
        peer_users: names or numbers of users whose runtime the plugin connects to, besides its own user's and root's;
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
        configuration: Configuration | Configured[Any] | None = None,
        lifespan: PluginLifespan | None = None,
        traits: Traits = Traits(),
        mux: Config | None = None,
        peer_users: Iterable[str | int] = (),
    ) -> None:
        self._services = services_of(servables)
        self._app = app
        self._streams = streams
        self._interceptors = tuple(interceptors)
        self._health: HealthService | None = None
        announcement = announce(
            servables,
            RegisterPluginRequest(
                name=name or default_name(),
                version=version,
                protocol_versions=traits.protocol_versions,
                priority=traits.priority,
                replica=traits.replica,
                capabilities=traits.capabilities,
                labels=traits.labels,
            ),
        )
        self._connection = RuntimeConnection(
            announcement,
            self._make_app,
            lambda: nullcontext() if lifespan is None else lifespan(self),
            configured=self._declare(configuration, announcement),
            mux=mux,
            peer_users=PeerUsers(peer_users),
        )
        if any(isinstance(servable, Caller) for servable in servables):
            self.on_link(lambda link, gate: calling(servables, link.transport))

    def _declare(
        self, configuration: Configuration | Configured[Any] | None, announcement: RegisterPluginRequest
    ) -> Configured[Any] | None:
        """Announce what configuration the plugin takes, and serve changes of it."""
        if configuration is None:
            return None
        if isinstance(configuration, Configuration):
            configuration.to_schema(announcement.configuration)
            return None
        from .configuration import PluginConfigurationService

        configuration.declared.to_schema(announcement.configuration)
        self._services.append(PluginConfigurationService(configuration))
        return configuration

    def _make_app(self, gate: Gate, connection: RuntimeConnection) -> LinkApp:
        make = partial(OneOfSeveralApp, connection) if connection.is_one_of_several else LinkApp
        return make(
            [*self._services, PluginControl(connection)],
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

    @property
    def registration(self) -> Registration:
        """What the plugin registers with; a runtime that launches it changes the name."""
        return self._connection.registration

    @property
    def configuration_json(self) -> str:
        """The configuration that came with the last registration; empty before, and where the runtime has none."""
        return self._connection.configuration_json

    @property
    def protocol_version(self) -> int:
        """The version of the application's protocol that the runtime has chosen; 0 before the registration."""
        return self._connection.protocol_version

    @property
    def link(self) -> Link | None:
        """The present link to a runtime, or the last; `None` before the first."""
        return self._connection.link

    @property
    def transport(self) -> ClientTransport:
        """Carries calls to the runtime, over whichever link is the present one."""
        return self._connection.transport

    @property
    def health(self) -> HealthService:
        """Tells the runtime whether the plugin and its services are ready: `plugin.health.set("", False)`."""
        if self._health is None:
            from ..services.health import HealthService

            given = [service for service in self._services if isinstance(service, HealthService)]
            self._health = given[0] if given else HealthService(*(service.spec.name for service in self._services))
        return self._health

    def on_link(self, enter: OnLink) -> None:
        """Enter a context manager on each further link to a runtime; it is left before the link closes.

        Args:
            enter: called with the link and its gate, which opens when the plugin has registered.
        """
        self._connection.on_link(enter)

    def client(self, client_class: Callable[..., AnyClient], **options: Any) -> AnyClient:
        """A client of a service that the runtime serves; it follows the plugin from link to link.

        A plugin may be linked to several runtimes. A handler then calls the one whose call it serves, and what else the
        plugin does calls the one that was linked last.

        Args:
            client_class: a generated client class.
            options: what the class takes besides the transport.
        """
        return client_class(self.transport, **options)

    def run(
        self,
        *,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        clean_up_time: float = ORPHAN_CLEAN_UP_TIME,
        listen: str = "",
        tls: TLS | None = None,
    ) -> None:
        """Serve until the runtime or a signal ends the plugin; as a rule this is the last line of a plugin program.

        Started by hand, without a runtime, it prints on stderr what the plugin is, and exits with status 2. Code that
        follows this call runs when the plugin has ended in order.

        A plugin that is not launched dials the runtime that `PLUGMUX_SOCKET` names, or listens for runtimes on other
        machines (docs/remote.md).

        Args:
            listen: the address in the network to listen at, such as `tls://0.0.0.0:7444`; by default that of
                `PLUGMUX_LISTEN`, or of the arguments `--listen ADDRESS` of the program.
            tls: the certificate for links over a network; by default that of `PLUGMUX_TLS_DIR` and its like.
            loop_factory: makes the event loop, for example `uvloop.new_event_loop`.
            clean_up_time: seconds that a launched plugin has to end, including the code that follows this call, when
                its runtime has died (10 by default); then it is killed. Its output is discarded meanwhile.

        Raises:
            SystemExit: with 1 when the runtime could not be reached or refused the plugin, with 2 when there is none;
                or as a handler has raised it, which ends the plugin in order.
        """
        from .program import run

        run(self._connection, loop_factory, clean_up_time, listen, tls)

    async def serve_link(self, connect: Callable[[Link], Awaitable[None]], name: str, timeout: float) -> None:
        """Serve one runtime over a link that the caller connects, such as one in memory, until either end stops.

        It may be called again when it has returned, in any event loop.

        Args:
            connect: connects the link that it is given.
            name: the name to register under.
            timeout: seconds for the registration.

        Raises:
            RegistrationFailed: the runtime refused the plugin, or went away.
        """
        await self._connection.serve_link(connect, name, timeout)

    def stop(self) -> None:
        """Close the present link in order, and open no other."""
        self._connection.stop()


def _diagnostics() -> Service:
    from .stacks import Diagnostics

    return Diagnostics()


def _reflection(services: Iterable[Service]) -> Service:
    from ..services.reflection import ReflectionService

    return ReflectionService(services)


def default_name() -> str:
    """The name of a plugin that starts by itself: the file name of its program, or of its package (`python -m`)."""
    folder, program = os.path.split(sys.argv[0] or sys.executable)
    if program == "__main__.py":
        program = os.path.basename(folder)
    for suffix in (".exe", ".py"):
        program = program.removesuffix(suffix)
    return program if SAID_NAME.fullmatch(program) else "plugin"
