"""The host's side: `async with Runtime([...]) as runtime`. Names are imported when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import import_name

if TYPE_CHECKING:
    from ..errors import BadConfiguration, PluginCause, PluginError
    from ..platform import ListenError
    from .calls.breaker import BreakerPolicy, Circuit
    from .calls.retry import RetryPolicy
    from .events import Event, EventKind
    from .health.policy import Health, HealthPolicy
    from .logs.log import LogEntry, LogSource
    from .plugin import PluginHandle
    from .process.limits import Limits
    from .process.local import LocalRunner
    from .process.run import Run
    from .runtime import Runtime
    from .settings import Host, Interceptors, Permissions, Policies, RestartPolicy, SocketUse, Timeouts
    from .source import Found, Launch, PluginSource, Runner, Source, name_of_command
    from .state import State

_HOMES = {
    "..errors": ("BadConfiguration", "PluginCause", "PluginError"),
    "..platform": ("ListenError",),
    ".calls.breaker": ("BreakerPolicy", "Circuit"),
    ".calls.retry": ("RetryPolicy",),
    ".events": ("Event", "EventKind"),
    ".health.policy": ("Health", "HealthPolicy"),
    ".logs.log": ("LogEntry", "LogSource"),
    ".plugin": ("PluginHandle",),
    ".process.limits": ("Limits",),
    ".process.local": ("LocalRunner",),
    ".runtime": ("Runtime",),
    ".settings": ("Host", "Interceptors", "Permissions", "Policies", "RestartPolicy", "SocketUse", "Timeouts"),
    ".process.run": ("Run",),
    ".source": ("Found", "Launch", "PluginSource", "Runner", "Source", "name_of_command"),
    ".state": ("State",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BadConfiguration",
    "BreakerPolicy",
    "Circuit",
    "Event",
    "EventKind",
    "Found",
    "Health",
    "HealthPolicy",
    "Host",
    "Interceptors",
    "Launch",
    "Limits",
    "ListenError",
    "LocalRunner",
    "LogEntry",
    "LogSource",
    "Permissions",
    "PluginCause",
    "PluginError",
    "PluginHandle",
    "PluginSource",
    "Policies",
    "RestartPolicy",
    "RetryPolicy",
    "Run",
    "Runner",
    "Runtime",
    "SocketUse",
    "Source",
    "State",
    "Timeouts",
    "name_of_command",
]


def __getattr__(name: str) -> object:
    return import_name(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
