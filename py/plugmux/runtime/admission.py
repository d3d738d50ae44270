"""Who may serve what: a plugin that starts by itself takes nothing that a plugin of the runtime's own has.

A plugin of the runtime's own is one that it launches, or an object of the host. What it has registered, and what its
launch and its manifest grant it by name, is reserved for it, whether it runs or not. (docs/security.md)
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from ..contract.registration import Registration, RegistrationRefused
from ..errors import PluginCause, PluginError
from .events import Event, EventKind
from .plugin import PluginRecord
from .registry import Registry, patterns_of, services_of
from .settings import Permissions

__all__ = ["Admission"]

logger = logging.getLogger("plugmux.runtime")

NAMED = 3
"""Of the plugins that share something with another, so many are named in the event."""


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
            for shared, others in self._shared(said):
                for other in others:
                    if other != said.name and any(not record.external for record in self._registry.named(other)):
                        raise RegistrationRefused(
                            f"plugin {said.name!r} started by itself and {shared}, as plugin {other!r} does, which the "
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
            self._take_back(plugin)
        for shared, names in self._shared(said):
            if len(names) > 1 or plugin.name not in names:
                self._tell(plugin, EventKind.OVERLAP, f"it {shared}, as {_others(names, plugin.name)}")

    def refused(self, name: str, error: RegistrationRefused) -> None:
        """Report that a plugin that started by itself was refused.

        Args:
            name: the name that it gave.
            error: why.
        """
        self._registry.refused(name, str(error))

    def _take_back(self, owner: PluginRecord) -> None:
        """End the plugins that have started by themselves and hold what is the owner's."""
        holders = [
            (record, shared)
            for shared, names in self._held(services_of(owner), patterns_of(owner))
            for name in sorted(self._registry.external.intersection(names))
            for record in self._registry.named(name)
            if record.external and record.registration is not None and not self._may_overlap(name)
        ]
        for intruder, shared in dict(holders).items():
            why = f"it {shared}, which is plugin {owner.name!r}'s"
            self._registry.remove(intruder)
            self._tell(intruder, EventKind.REFUSED, why)
            if intruder.link is not None:
                intruder.link.abort(PluginError(intruder.name, PluginCause.REFUSED, why))

    def _shared(self, said: Registration) -> Iterator[tuple[str, Sequence[str]]]:
        return self._held(said.services, () if said.secrets_pattern is None else (said.secrets_pattern,))

    def _held(self, services: Iterable[str], patterns: Iterable[str]) -> Iterator[tuple[str, Sequence[str]]]:
        """What of these services and patterns plugins have, in words, and the names of those plugins."""
        for service in services:
            if names := self._registry.services.names(service):
                yield f"serves {service}", names
        for pattern in patterns:
            for other, names in self._registry.patterns.overlapping(pattern):
                yield f"provides secrets of {other[:140]!r}", names

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


def _others(names: Sequence[str], own: str) -> str:
    """What the plugins of these names do beside a plugin, in words: the first of them by name."""
    first = [name for name in names[: NAMED + 1] if name != own][:NAMED]
    more = len(names) - (own in names) - len(first)
    if len(first) == 1:
        return f"plugin {first[0]!r} does"
    named = ", ".join(map(repr, first))
    return f"plugins {named} and {more} more do" if more else f"plugins {named} do"
