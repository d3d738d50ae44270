"""Plugins that the runtime does not launch: those that connect by themselves, and objects of the host's own process.

Both have one stay: they register, they serve, and when their link ends they are forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

from ..aio.closing import shielded
from ..aio.race import race
from ..contract.registration import Registration, RegistrationRefused
from ..errors import StateError
from ..link.app import LinkApp
from ..link.link import Link, Peer
from ..link.servable import Servable, announce, services_of
from .admission import Admission
from .plugin import PluginHandle
from .registrar import Registrar, RegistrationHandler
from .registry import Registry
from .socket.quota import TooManyLinks
from .state import State
from .supervisor import DRAIN_TIME

__all__ = ["InProcessPlugin", "SelfStartedPlugin"]

logger = logging.getLogger("plugmux.runtime")

OnChange = Callable[[PluginHandle, State], None]


class SelfStartedPlugin(PluginHandle):
    """A plugin that has connected by itself: it has no name before it has registered.

    Args:
        registry: takes the plugin in.
        admission: decides what it may claim.
        on_change: told of every change of its state.
    """

    def __init__(self, registry: Registry, admission: Admission, on_change: OnChange) -> None:
        super().__init__("", State.REGISTERING, on_change, external=True)
        self._registry = registry
        self._admission = admission

    def admit(self, registration: Registration) -> None:
        """Take the plugin in under the name that it registers.

        Raises:
            RegistrationRefused: the name is taken, or it claims what it may not.
        """
        self._admission.check(registration)
        self.name = registration.name
        self.registration = registration
        self._registry.add(self)

    async def arrive(self, scope: MutableMapping[str, Any], reception: Registrar, timeout: float) -> None:
        """Make the connection of a request a link, and stay until it ends.

        Args:
            scope: the request's, with the upgrade extension.
            reception: what the runtime offers.
            timeout: seconds that the registration may take.

        Raises:
            TooManyLinks: its user has as many as it may of links that have not registered; the connection is none.
        """
        peer = scope["extensions"]["plugmux.connection"].get("peer", Peer("a plugin"))
        quota = self._admission.unregistered
        registered = quota.take(peer.uid)
        if registered is None:
            raise TooManyLinks(
                f"{quota.most} links of user {peer.uid} have not registered yet, and there may be no more; try again"
            )
        link, desk = reception.open_link(peer, self.admit)
        desk.registered.add_done_callback(lambda _: registered())
        try:
            await scope["extensions"]["plugmux.upgrade"](lambda: link.mux, headers=[(b"upgrade", b"tcp")])
            await self.stay(link, desk, timeout)
        finally:
            registered()
            link.abort()
            await link.close(0)

    async def stay(self, link: Link, desk: RegistrationHandler, timeout: float) -> None:
        """Wait for the registration, then for the end of the link; the registry has the plugin meanwhile.

        Args:
            link: the plugin's link, connected.
            desk: where its registration arrives; it has been told to ask `admit`.
            timeout: seconds that the registration may take.
        """
        why = "its link has ended"
        try:
            await race(asyncio.wait([desk.registered]), link.wait_closed(), timeout)
            desk.close()  # Whose body comes later does not register.
            if desk.registration is None:
                self._tell_of_failure(link, desk, timeout)
                await link.close()
                return
            self.registration = desk.registration
            self.link = link
            self.pid = link.peer.pid
            self.move(State.RUNNING)
            prober = desk.reception.prober(self, link)
            await race(link.wait_closed(), prober.hung())
            if prober.verdict is not None:
                why = prober.verdict
        finally:
            desk.close()
            self._leave(why)

    def _tell_of_failure(self, link: Link, desk: RegistrationHandler, timeout: float) -> None:
        """Tell of a plugin that has not registered: nobody would know of it."""
        error = desk.registered.exception()
        if desk.claimed and isinstance(error, RegistrationRefused):
            logger.warning("refused the registration of a plugin (%s): %s", link.peer.name, error)
            self._admission.refused(desk.claimed, error)
            return
        why = f"its link has ended ({link.reason})" if link.closed else f"it had {timeout:g} s"
        logger.warning("%s connected as a plugin and has not registered: %s", link.peer.name, why)

    def _leave(self, why: str) -> None:
        self.link = None
        self._registry.remove(self)
        for state in (State.STOPPING, State.STOPPED):
            if self.state.may_become(state):
                self.move(state, why)

    async def stop(self) -> None:
        """End its stay. Its process is not ours to end: it looks for a runtime again."""
        link = self.link
        if link is None:
            return
        if self.state is State.RUNNING:
            self.move(State.STOPPING)
        await link.close(DRAIN_TIME)


class InProcessPlugin(PluginHandle):
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
        reception: Registrar,
        registry: Registry,
        on_change: OnChange,
    ) -> None:
        super().__init__(name, State.REGISTERING, on_change)
        self._servables: Sequence[Servable] = (servable,)
        self._version = version
        self._reception = reception
        self._registry = registry
        self._links: Sequence[Link] = ()

    async def start(self) -> None:
        """Link the object to the runtime and register it.

        Raises:
            RegistrationRefused: it says something of itself that no plugin may.
            StateError: the runtime has been closed meanwhile.
        """
        request = announce(self._servables, RegisterPluginRequest(name=self.name, version=self._version))
        registration = Registration.from_request(request)
        self._registry.check(registration)
        self._reception.permissions.check_module(registration)
        chosen = self._reception.accept(registration).protocol_version
        near, desk = self._reception.open_link(Peer(self.name), lambda _: None)
        desk.gate.open()
        far = Link(LinkApp(services_of(self._servables)), initiator=True, peer=Peer(self._reception.name))
        self._links = (near, far)
        self.registration = replace(registration, protocol_version=chosen)
        self._registry.add(self)
        try:
            await _join(near, far)
            if self.state is not State.REGISTERING:
                raise StateError("the runtime has been closed; make a new one")
        except BaseException:
            self._registry.remove(self)
            for link in self._links:
                link.abort()
            raise
        self.link = near
        self.move(State.RUNNING)

    async def stop(self) -> None:
        """Unlink the object."""
        await shielded(self._unlink())

    async def _unlink(self) -> None:
        if self.state is State.RUNNING:
            self.move(State.STOPPING)
            for link in self._links:
                await link.close()
        self.link = None
        self.move(State.STOPPED)


async def _join(near: Link, far: Link) -> None:
    """Connect two links with each other."""
    near_end, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await near.over_socket(near_end)
    except BaseException:
        far_end.close()
        raise
    await far.over_socket(far_end)
