"""The listening sockets of a runtime, and what is served on them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, MutableMapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

from ...connect import Service
from ...contract.address import Address, NetworkAddress, parse_address
from ...http import Server
from ...link.link import Peer
from ..admission import Admission
from ..calls.router import Router
from ..external import SelfStartedPlugin
from ..inspect.metrics import RuntimeMetrics
from ..inspect.observer import CallObserver
from ..registrar import Registrar
from ..registry import Registry
from .app import SocketApp
from .events import EventsService, Observed
from .inspect import Inspect, Replacing
from .listener import Listener
from .management import Managed, Management, RuntimeVersion
from .unregistered import UnregisteredLinks

if TYPE_CHECKING:
    from .network import NetworkSocket

__all__ = ["SocketServer", "Sockets"]

REQUEST_TIME = 1.0
"""Seconds that requests under way are given when the runtime closes."""


class Shown(Managed, Observed, Replacing, Protocol):
    """The runtime whose plugins are managed and observed over the sockets."""


class SocketServer(Protocol):
    """Serves what the sockets serve in another way, such as `gateway.app`."""

    def attach(self, app: SocketApp) -> None:
        """Serve an app from now on, as long as the runtime lives."""
        ...


class Sockets:
    """All sockets of a runtime: plugins connect to them by themselves, and clients call plugins through them.

    Args:
        addresses: where to listen, and what serves the same in another way.
        runtime: what the management and events services show.
        router: carries requests to plugins.
        registrar: what plugins are offered.
        registry: takes plugins in.
        admission: decides on plugins that start by themselves.

    Attributes:
        call_observer: counts the calls of the runtime while somebody watches.

    Raises:
        ConfigError: an address is not valid.
    """

    def __init__(
        self,
        addresses: Iterable[str | SocketServer],
        runtime: Shown,
        router: Router,
        registrar: Registrar,
        registry: Registry,
        admission: Admission,
    ) -> None:
        self._registrar = registrar
        self._registry = registry
        self._admission = admission
        self._unregistered = UnregisteredLinks()
        permissions = registrar.permissions
        self.call_observer = CallObserver(registry, registrar)
        self._metrics = RuntimeMetrics(registry, registrar.host, self.call_observer)
        self._app = SocketApp(router, self._arrive, permissions, self._metrics.scrape)
        self._inspect = Inspect(runtime, registry, registrar, self.call_observer)
        management = Management(runtime, permissions)
        for service in (RuntimeVersion(registrar.host.version), management, EventsService(runtime), self._inspect):
            self._app.mount(service)
        self._server = Server(self._app, lifespan=False)
        self._listeners: list[Listener | NetworkSocket] = []
        self._servers = [self._server]
        for text in addresses:
            if not isinstance(text, str):
                text.attach(self._app)
                continue
            address = parse_address(text, insecure_tcp=permissions.insecure_tcp or None)
            if isinstance(address, Address):
                self._listeners.append(Listener(address, self._server))
            else:
                self._listen_in_network(address)

    def _listen_in_network(self, address: NetworkAddress) -> None:
        from .network import NetworkSocket  # a runtime on one machine needs none of it

        registrar = self._registrar
        listener = NetworkSocket(address, self._app, registrar.permissions, registrar.host.tls)
        self._listeners.append(listener)
        self._servers.append(listener.server)

    async def _arrive(self, scope: MutableMapping[str, Any]) -> None:
        """Make a connection to a socket a link, and keep it until it ends.

        Raises:
            TooManyLinks: its user has as many as it may of links that have not registered, and none does in time.
        """
        peer = scope["extensions"]["plugmux.connection"].get("peer")
        registered = await self._unregistered.begin(peer or Peer("a plugin"))
        try:
            if peer is not None and peer.address:
                from ..remote.arrival import RemoteArrival

                await RemoteArrival(self._registry, self._registrar, self._admission, peer).arrive(scope, registered)
            else:
                await SelfStartedPlugin(self._registry, self._registrar, self._admission).arrive(scope, registered)
        finally:
            registered()

    def mount(self, service: Service) -> None:
        """Serve one more service of the host."""
        self._app.mount(service)

    @property
    def addresses(self) -> list[str]:
        """The addresses that are listened at."""
        return [str(listener.address) for listener in self._listeners]

    @property
    def tasks(self) -> Collection[asyncio.Task[Any] | None]:
        """The tasks that serve connections."""
        return [task for server in self._servers for task in server.tasks]

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ListenError: an address cannot be listened at.
        """
        for listener in self._listeners:
            await listener.start()

    async def stop_listening(self) -> None:
        """Take no further connections."""
        async with AsyncExitStack() as listeners:
            for listener in self._listeners:
                listeners.push_async_callback(listener.close)

    async def close(self) -> None:
        """End the connections; requests under way are given a moment."""
        self._inspect.close()
        self._metrics.close()
        await asyncio.gather(*(server.shutdown(REQUEST_TIME) for server in self._servers))
