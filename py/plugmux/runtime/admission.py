"""Who may serve what: a plugin that starts by itself takes nothing that a plugin of the runtime's own has.

A plugin of the runtime's own is one that it launches, or an object of the host. What it has registered, and what its
launch and its manifest grant it by name, is reserved for it, whether it runs or not. (docs/security.md)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from ..contract.patterns import overlap
from ..contract.registration import Registration, RegistrationRefused
from ..errors import PluginCause, PluginError
from .events import Event, EventKind
from .plugin import PluginRecord
from .registry import Registry
from .settings import Permissions

__all__ = ["Admission"]

logger = logging.getLogger("plugmux.runtime")


@dataclass(frozen=True, slots=True)
class Admission:
    """Decides on plugins that start by themselves, and reports overlaps and refusals as events.

    Args:
        registry: the plugins of the runtime.
        permissions: what the host allows.
    """

    _registry: Registry
    _permissions: Permissions
    _settled: WeakKeyDictionary[PluginRecord, Registration] = field(default_factory=WeakKeyDictionary)

    def check(self, said: Registration, replaced: PluginRecord | None = None) -> None:
        """Check that a plugin that has started by itself claims only what it may.

        Args:
            said: what it claims.
            replaced: the plugin whose place it takes, if it does.

        Raises:
            RegistrationRefused: its name is taken, or it claims what it may not.
        """
        self._registry.check(said, replaced)
        if said.access_control and not self._may_decide(said.name):
            raise RegistrationRefused(
                f"plugin {said.name!r} started by itself and decides on access, which the host does not grant: "
                f"Permissions(access_control=[{said.name!r}])"
            )
        if not self._may_overlap(said.name):
            for shared, other in self._overlaps(said):
                raise RegistrationRefused(
                    f"plugin {said.name!r} started by itself and {shared}, as plugin {other.name!r} does, which the "
                    f"host does not grant: Permissions(overlapping=[{said.name!r}])"
                )

    def settle(self, plugin: PluginRecord) -> None:
        """Report what a plugin that runs now shares with others, and end self-started plugins that took it.

        Args:
            plugin: it has begun to run. One registration is reported once.
        """
        said = plugin.registration
        if said is None or self._settled.get(plugin) is said:
            return
        self._settled[plugin] = said
        if said.access_control and plugin.grants and not self._is_named(plugin):
            logger.warning(
                "plugin %s decides on access and was not asked before it registered; name it, so that no secrets are "
                "given without it: Launch(access_control=True), or Permissions(access_control=[%r])",
                plugin.name,
                plugin.name,
            )
        if not plugin.external:
            for other in self._registry.sorted():
                if other.external and other.registration is not None and not self._may_overlap(other.name):
                    self._expel(other, plugin)
        for shared, other in self._overlaps(said, of_all=True):
            self._tell(plugin, EventKind.OVERLAP, f"it {shared}, as plugin {other.name!r} does")

    def refused(self, name: str, error: RegistrationRefused) -> None:
        """Report that a plugin that started by itself was refused.

        Args:
            name: the name that it gave.
            error: why.
        """
        self._registry.refused(name, str(error))

    def _expel(self, intruder: PluginRecord, owner: PluginRecord) -> None:
        assert intruder.registration is not None
        for shared in _shared(intruder.registration, owner):
            why = f"it {shared}, which is plugin {owner.name!r}'s"
            self._registry.remove(intruder)
            self._tell(intruder, EventKind.REFUSED, why)
            if intruder.link is not None:
                intruder.link.abort(PluginError(intruder.name, PluginCause.REFUSED, why))
            return

    def _overlaps(self, said: Registration, *, of_all: bool = False) -> Iterator[tuple[str, PluginRecord]]:
        for other in self._registry.sorted():
            if other.name != said.name and (of_all or not other.external):
                for shared in _shared(said, other):
                    yield shared, other

    def _is_named(self, plugin: PluginRecord) -> bool:
        named = plugin.name in self._permissions.access_control
        return named or any(grant.access_control for grant in plugin.grants)

    def _may_overlap(self, name: str) -> bool:
        return self._permissions.overlaps or name in self._permissions.overlapping

    def _may_decide(self, name: str) -> bool:
        return self._permissions.overlaps or name in self._permissions.access_control

    def _tell(self, plugin: PluginRecord, kind: EventKind, status: str) -> None:
        self._registry.events.publish(
            Event(plugin.name, plugin.state, plugin.state, status, health=plugin.health, kind=kind)
        )


def _shared(said: Registration, other: PluginRecord) -> Iterator[str]:
    """What a registration claims of another plugin's, in words."""
    has = other.registration
    reserved = {service for grant in other.grants for service in grant.services or ()}
    for service in said.services:
        if service in reserved or (has is not None and service in has.services):
            yield f"serves {service}"
    patterns = {pattern for grant in other.grants for pattern in grant.secrets or ()}
    if has is not None and has.secrets_pattern is not None:
        patterns = {has.secrets_pattern}
    own = said.secrets_pattern
    for pattern in sorted(patterns):
        if own is not None and overlap(own, pattern):
            yield f"provides secrets of {pattern[:140]!r}"
