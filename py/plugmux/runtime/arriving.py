"""Plugins that the runtime does not launch: those that connect by themselves, and objects of the host's own process.

Both have one stay: they register, they serve, and when their link ends they are forgotten.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

from ..errors import LinkError
from ..link import Link, Peer
from ..registration import Registration
from ..servable import Servable, announce, services_of
from ..site import Site
from .hosted import HostedPlugin
from .launched import shut_down
from .reception import Desk, Reception
from .registry import Registry
from .state import State

__all__ = ["InProcessPlugin", "receive"]

OnChange = Callable[[HostedPlugin, State], None]


async def receive(
    link: Link, desk: Desk, registry: Registry, on_change: OnChange, timeout: float
) -> HostedPlugin | None:
    """Wait for a plugin that has connected by itself to register, and take it in.

    Args:
        link: its link, connected.
        desk: where its registration arrives; it has been told to check names against the registry.
        registry: takes the plugin in.
        on_change: told of every change of its state.
        timeout: seconds that it has.

    Returns:
        The plugin, running; `None` when it did not register in time or was refused, and the link is closed.
    """
    try:
        async with asyncio.timeout(timeout):
            registration = await desk.registered
    except Exception:  # Late, or refused, which the answer has said.
        await link.close()
        return None
    plugin = HostedPlugin(registration.name, State.REGISTERING, on_change, external=True)
    _begin(plugin, registration, link, registry)
    return plugin


def _begin(plugin: HostedPlugin, registration: Registration, link: Link, registry: Registry) -> None:
    plugin.registration = registration
    plugin.link = link
    plugin.pid = link.peer.pid
    registry.add(plugin)
    plugin.move(State.RUNNING)


async def stay(plugin: HostedPlugin, link: Link, registry: Registry) -> None:
    """Keep a plugin in the registry for as long as its link is open."""
    try:
        await link.wait_closed()
    finally:
        plugin.link = None
        registry.remove(plugin)
        if plugin.state is State.RUNNING:
            plugin.move(State.STOPPING, "its link has ended")
        if plugin.state is State.STOPPING:
            plugin.move(State.STOPPED, "its link has ended")


class InProcessPlugin(HostedPlugin):
    """An object of the host's process, served over a link of its own like any other plugin.

    Args:
        servable: the object.
        name: the plugin's name.
        version: the plugin's version.
        reception: what the runtime offers to plugins.
        registry: takes the plugin in.
        on_change: told of every change of state.
    """

    def __init__(
        self,
        servable: Servable,
        name: str,
        version: str,
        reception: Reception,
        registry: Registry,
        on_change: OnChange,
    ) -> None:
        super().__init__(name, State.REGISTERING, on_change)
        self._servables: Sequence[Servable] = (servable,)
        self._version = version
        self._reception = reception
        self._registry = registry
        self._far: Link | None = None

    async def start(self) -> None:
        """Link the object to the runtime and register it.

        Raises:
            RegistrationRefused: it says something of itself that no plugin may.
        """
        request = announce(self._servables, RegisterPluginRequest(name=self.name, version=self._version))
        registration = Registration.from_request(request)
        self._registry.check_name(self.name)
        self._reception.welcome(registration)
        near, _ = self._reception.open_link(Peer(self.name), lambda _: None)
        far = Link(Site(services_of(self._servables)), initiator=True, peer=Peer(self._reception.name))
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        await near.over_socket(ends[0])
        await far.over_socket(ends[1])
        self._far = far
        _begin(self, registration, near, self._registry)

    async def stop(self) -> None:
        """Unlink the object."""
        if self.state is State.RUNNING:
            self.move(State.STOPPING)
        if self.link is not None:
            await self.link.close()
        if self._far is not None:
            await self._far.close()
        self.link = None
        self.move(State.STOPPED)


async def dismiss(plugin: HostedPlugin) -> None:
    """End the stay of a plugin that came by itself: Shutdown, then close. Its process is not ours to end."""
    link = plugin.link
    if link is None:
        return
    if plugin.state is State.RUNNING:
        plugin.move(State.STOPPING)
    try:
        await shut_down(link)
    except LinkError:
        link.abort()
