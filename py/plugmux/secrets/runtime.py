"""What the secrets layer needs of a runtime, and no more; `plugmux.Runtime` is one."""

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
"""Names of the states in which a plugin does not serve because somebody wants it so."""

SWITCHED_OFF = frozenset({"DISABLED", "STOPPED"})
"""Those of them that are no passage to another one."""

AnyClient = TypeVar("AnyClient")


class PluginState(Protocol):
    """The state of a plugin."""

    @property
    def name(self) -> str:
        """The state's name in capitals; `RUNNING` and `IDLE_ON_PURPOSE` are those that matter here."""
        ...


class KnownPlugin(Protocol):
    """A plugin as a runtime knows it, in any state."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> PluginState: ...
    @property
    def will_run(self) -> bool:
        """Whether it runs or is about to, so that a call waits for it."""
        ...

    @property
    def status(self) -> str:
        """Why it is in that state, for a person."""
        ...

    @property
    def decides_on_access(self) -> bool:
        """Whether it is an access-control module, by its registration or by its launch."""
        ...

    @property
    def registration(self) -> Registration | None:
        """What it registered with; `None` until it has."""
        ...


class SecretsRuntime(Protocol):
    """The plugins of a runtime, and the way to each."""

    def plugins(self) -> Sequence[KnownPlugin]:
        """All plugins, sorted by name; replicas of one plugin have one name."""
        ...

    @property
    def access_control(self) -> Collection[str]:
        """Names of the plugins that must decide on access, whether they are there or not."""
        ...

    def client(self, client_class: Callable[..., AnyClient], *, plugin: str | None = None, **options: Any) -> AnyClient:
        """A client of a service that the named plugin serves."""
        ...


def by_name(runtime: SecretsRuntime) -> list[KnownPlugin]:
    """The plugins of a runtime, each name once: of replicas one that runs, where any does."""
    found: dict[str, KnownPlugin] = {}
    for plugin in runtime.plugins():
        if plugin.name not in found or (plugin.state.name == RUNNING and found[plugin.name].state.name != RUNNING):
            found[plugin.name] = plugin
    return list(found.values())


def standing(plugin: KnownPlugin) -> str:
    """Why a plugin is not asked, in words: its state, and the reason where one is known."""
    state = plugin.state.name.lower().replace("_", " ")
    return f"{state}: {plugin.status}" if plugin.status else state
