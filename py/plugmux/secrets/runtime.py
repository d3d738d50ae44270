"""The part of a runtime that the secrets layer uses, as protocols; `plugmux.Runtime` implements them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, TypeVar

from ..contract.registration import Registration

__all__ = [
    "IDLE_ON_PURPOSE",
    "RUNNING",
    "SWITCHED_OFF",
    "KnownPlugin",
    "PluginState",
    "SecretsRuntime",
    "by_name",
    "standing",
]

RUNNING = "RUNNING"
IDLE_ON_PURPOSE = frozenset({"DISABLED", "STOPPING", "STOPPED"})
"""Names of the states in which a plugin does not serve because the host or a user has stopped it."""

SWITCHED_OFF = frozenset({"DISABLED", "STOPPED"})
"""Those of them that do not lead to another state by themselves."""

AnyClient = TypeVar("AnyClient")


class PluginState(Protocol):
    """The state of a plugin."""

    @property
    def name(self) -> str:
        """The state's name in capitals; only `RUNNING` and `IDLE_ON_PURPOSE` matter here."""
        ...


class KnownPlugin(Protocol):
    """A plugin of a runtime, in any state."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> PluginState: ...
    @property
    def will_run(self) -> bool:
        """Whether it runs or is about to run, so that a call waits for it."""
        ...

    @property
    def status(self) -> str:
        """Why it is in that state, for people."""
        ...

    @property
    def decides_on_access(self) -> bool:
        """Whether it is an access-control module, by its registration or by its launch."""
        ...

    @property
    def registration(self) -> Registration | None:
        """Its registration; `None` before it has registered."""
        ...


class SecretsRuntime(Protocol):
    """A runtime: its plugins, and clients of them."""

    def plugins(self) -> Sequence[KnownPlugin]:
        """All plugins, sorted by name; replicas of one plugin have one name."""
        ...

    @property
    def access_control(self) -> Collection[str]:
        """Names of the plugins that must decide on access, whether the runtime has them or not."""
        ...

    def client(self, client_class: Callable[..., AnyClient], *, plugin: str | None = None, **options: Any) -> AnyClient:
        """A client of a service that the named plugin serves."""
        ...


def by_name(runtime: SecretsRuntime) -> list[KnownPlugin]:
    """The plugins of a runtime, one for each name: of several replicas one that runs, if any does."""
    found: dict[str, KnownPlugin] = {}
    for plugin in runtime.plugins():
        if plugin.name not in found or (plugin.state.name == RUNNING and found[plugin.name].state.name != RUNNING):
            found[plugin.name] = plugin
    return list(found.values())


def standing(plugin: KnownPlugin) -> str:
    """The state of a plugin, with the reason if it is known, for people."""
    state = plugin.state.name.lower().replace("_", " ")
    return f"{state}: {plugin.status}" if plugin.status else state
