"""Plugins that the runtime does not launch: those that connect by themselves, and objects of the host's own process.

Both register once, serve, and are forgotten when their link ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, MutableMapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

from ..aio.closing import shielded
from ..aio.race import race
from ..contract.registration import Registration, RegistrationRefused
from ..errors import StateError
from ..link.app import LinkApp
from ..link.link import Link, Peer
from ..link.peer_process import ends_with_process
from ..link.servable import Servable, announce, calling, services_of
from .admission import Admission
from .plugin import PluginRecord
from .registrar import Registrar, RegistrationHandler
from .registry import Registry
from .state import NEXT, State

__all__ = ["InProcessPlugin", "SelfStartedPlugin"]

logger = logging.getLogger("plugmux.runtime")


class SelfStartedPlugin:
    """A plugin that has connected by itself: it has no name before it has registered.

    Args:
        registry: takes the plugin in.
        registrar: what the runtime offers it.
        admission: decides what it may claim.
    """

    def __init__(self, registry: Registry, registrar: Registrar, admission: Admission) -> None:
        self.record = PluginRecord("", State.REGISTERING, self, registrar.policies, external=True)
        self._registry = registry
        self._registrar = registrar
        self._admission = admission

    def admit(self, registration: Registration) -> None:
        """Take the plugin in under the name that it registers.

        Raises:
            RegistrationRefused: the name is taken, or it claims what it may not.
        """
        self._admission.check(registration)
        self.record.name = registration.name
        self.record.registration = registration
        self.record.given = self._registrar.configurations.get(registration.name, "")
        self._registry.add(self.record)

    async def arrive(self, scope: MutableMapping[str, Any], registered: Callable[[], None]) -> None:
        """Make the connection of a request a link, and serve it until it ends.

        Args:
            scope: the request's, with the upgrade extension.
            registered: called when the plugin has registered.
        """
        peer = scope["extensions"]["plugmux.connection"].get("peer", Peer("a plugin"))
        link, handler = self._registrar.open_link(peer, self.record.policies, self.admit)
        handler.registered.add_done_callback(lambda _: registered())
        try:
            await scope["extensions"]["plugmux.upgrade"](lambda: link.mux, headers=[(b"upgrade", b"tcp")])
            with ends_with_process(link, peer.pid):
                await self.serve(link, handler)
        finally:
            link.abort()
            await link.close(0)

    async def serve(self, link: Link, handler: RegistrationHandler) -> None:
        """Wait for the registration, then for the end of the link; the registry has the plugin meanwhile.

        Args:
            link: the plugin's link, connected.
            handler: takes its registration; it has been told to ask `admit`.
        """
        why = "its link has ended"

        async def hung() -> None:
            nonlocal why
            why = await self._registrar.hung(self.record, link)

        try:
            timeout = self.record.policies.timeouts.registration
            await race(asyncio.wait([handler.registered]), link.wait_closed(), timeout)
            handler.close()  # Whose body comes later does not register.
            if handler.registration is None:
                self._tell_of_failure(link, handler, timeout)
                await link.close()
                return
            self.record.registration = handler.registration
            self.record.link = link
            self.record.pid = link.peer.pid
            self.record.move(State.RUNNING)
            await self.until_over(link, hung())
        finally:
            handler.close()
            self._forget(why)

    async def until_over(self, link: Link, hung: Coroutine[Any, Any, None]) -> None:
        """Wait until the plugin has left.

        Args:
            link: its link.
            hung: returns when it hangs.
        """
        await race(link.wait_closed(), hung)

    def _tell_of_failure(self, link: Link, handler: RegistrationHandler, timeout: float) -> None:
        """Log that a plugin has not registered: nothing else shows it."""
        error = handler.registered.exception()
        if handler.claimed and isinstance(error, RegistrationRefused):
            logger.warning("refused the registration of a plugin (%s): %s", link.peer.name, error)
            self._admission.refused(handler.claimed, error)
            return
        why = f"its link has ended ({link.reason})" if link.closed else f"it had {timeout:g} s"
        logger.warning("%s connected as a plugin and has not registered: %s", link.peer.name, why)

    def _forget(self, why: str) -> None:
        self.record.link = None
        self._registry.remove(self.record)
        for state in (State.STOPPING, State.STOPPED):
            if state in NEXT[self.record.state]:
                self.record.move(state, why)

    async def stop(self) -> None:
        """End its link. Its process is not ours to end: it looks for a runtime again."""
        link = self.record.link
        if link is None:
            return
        if self.record.state is State.RUNNING:
            self.record.move(State.STOPPING)
        await link.close(self.record.policies.timeouts.drain)

    async def leave(self) -> None:
        """End its link."""
        await self.stop()


class InProcessPlugin:
    """An object of the host's process, served over a link of its own like any other plugin.

    Args:
        servable: the object.
        name: the plugin's name.
        version: the plugin's version.
        registrar: what the runtime offers to plugins.
        registry: takes the plugin in.
    """

    def __init__(
        self,
        servable: Servable,
        name: str,
        version: str,
        registrar: Registrar,
        registry: Registry,
    ) -> None:
        self.record = PluginRecord(name, State.REGISTERING, self, registrar.policies)
        self._servables: Sequence[Servable] = (servable,)
        self._version = version
        self._registrar = registrar
        self._registry = registry
        self._links: Sequence[Link] = ()
        self._calling = AsyncExitStack()

    async def start(self) -> None:
        """Link the object to the runtime and register it.

        Raises:
            RegistrationRefused: it says something of itself that no plugin may.
            StateError: the runtime has been closed meanwhile.
        """
        request = announce(self._servables, RegisterPluginRequest(name=self.record.name, version=self._version))
        registration = Registration.from_request(request)
        self._registry.check(registration)
        chosen = self._registrar.accept(registration).protocol_version
        near, handler = self._registrar.open_link(Peer(self.record.name), self.record.policies, lambda _: None)
        handler.gate.open()
        app, host = LinkApp(services_of(self._servables)), Peer(self._registrar.host.name)
        far = Link(app, initiator=True, peer=host, pool=self._registrar.object_pool)
        self._links = (near, far)
        self.record.registration = replace(registration, protocol_version=chosen)
        self._registry.add(self.record)
        try:
            await _join(near, far)
            if self.record.state is not State.REGISTERING:
                raise StateError("the runtime has been closed; make a new one")
        except BaseException:
            self._registry.remove(self.record)
            for link in self._links:
                link.abort()
            raise
        self.record.link = near
        self.record.move(State.RUNNING)
        await self._calling.enter_async_context(calling(self._servables, far.transport))

    async def stop(self) -> None:
        """Unlink the object."""
        await shielded(self._unlink())

    async def leave(self) -> None:
        """Unlink the object."""
        await self.stop()

    async def _unlink(self) -> None:
        if self.record.state is State.RUNNING:
            self.record.move(State.STOPPING)
            await self._calling.aclose()
            for link in self._links:
                await link.close()
        self.record.link = None
        self.record.move(State.STOPPED)


async def _join(near: Link, far: Link) -> None:
    """Connect two links with each other."""
    near_end, far_end = socket.socketpair()  # Of unix sockets, where there are some.
    try:
        await near.over_socket(near_end)
    except BaseException:
        far_end.close()
        raise
    await far.over_socket(far_end)
