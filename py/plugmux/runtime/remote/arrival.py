"""A plugin of another machine that has dialled the runtime.

It registers under a name that its identity grants. When its link is lost without a word, it stays as `unreachable`
for a while: calls wait for it. When it links again, the new link takes the place of the old one, which drains.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from ...aio.race import race
from ...contract.registration import Registration, RegistrationRefused
from ...link.link import Link, Peer
from ...network.identity import UntrustedIdentity, grants
from ..admission import Admission
from ..external import SelfStartedPlugin
from ..plugin import PluginRecord
from ..registrar import Registrar
from ..registry import Registry
from ..state import State

__all__ = ["RemoteArrival"]


class RemoteArrival(SelfStartedPlugin):
    """A plugin that has connected over a network.

    Args:
        registry: takes the plugin in.
        registrar: what the runtime offers it.
        admission: decides what it may claim.
        peer: who it is.
    """

    def __init__(self, registry: Registry, registrar: Registrar, admission: Admission, peer: Peer) -> None:
        super().__init__(registry, registrar, admission)
        self.record.peer = peer
        self.peer = peer
        self._superseded = asyncio.Event()
        self._stopping = asyncio.Event()

    def admit(self, registration: Registration) -> None:
        """Take the plugin in under the name that it registers, in the place of an older link of it, if there is one.

        Raises:
            RegistrationRefused: its identity does not grant the name, the name is taken, or it claims what it may not.
        """
        permissions = self._registrar.permissions
        if self.peer.identity:
            try:
                grants(self.peer.identity, registration.name, permissions.identities)
            except UntrustedIdentity as error:
                raise RegistrationRefused(f"plugin {registration.name!r} may not register as that: {error}") from None
        old = self._older(registration)
        self._admission.check(registration, old)
        self.record.name = registration.name
        self.record.registration = registration
        self.record.given = self._registrar.configurations.get(registration.name, "")
        if old is None:
            self._registry.add(self.record)
            return
        self._registry.put_on_standby([self.record])
        self._registry.exchange([old], [self.record])
        assert isinstance(old.owner, RemoteArrival)
        old.owner.supersede()

    def _older(self, registration: Registration) -> PluginRecord | None:
        """The record of an older link of the same plugin: of the same process, or of one that is away."""
        if registration.name not in self._registry:
            return None
        same = [
            record
            for record in self._registry.named(registration.name)
            if isinstance(record.owner, RemoteArrival) and record.owner.peer.identity == self.peer.identity
        ]
        for record in same:
            said = record.registration
            if said is not None and registration.process_id and said.process_id == registration.process_id:
                return record
        return next((record for record in same if record.state is State.UNREACHABLE), None)

    def supersede(self) -> None:
        """Let the calls under way end, and then the link: a newer one has the plugin's place."""
        self._superseded.set()

    async def until_over(self, link: Link, hung: Coroutine[Any, Any, None]) -> None:
        """Wait until the plugin has left, or has been away for too long."""
        await race(link.wait_closed(), hung, self._superseded.wait(), self._stopping.wait())
        timeouts = self.record.policies.timeouts
        if self._superseded.is_set():
            await link.close(timeouts.replacement)
            self._registry.forget([self.record])
        elif not link.mux.peer_left and not self._stopping.is_set():
            link.abort()
            self.record.link = None
            why = f"its link was lost: {link.reason}" if link.reason else "its link was lost"
            self.record.move(State.UNREACHABLE, f"{why}; it has {timeouts.away:g} s to link again")
            await race(self._superseded.wait(), self._stopping.wait(), timeouts.away)
            self._registry.forget([self.record])

    async def stop(self) -> None:
        """End its stay."""
        self._stopping.set()
        await super().stop()
