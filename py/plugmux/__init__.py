"""plugmux: an embeddable, minimal plugin runtime.

A host embeds a `Runtime`, a plugin is a `Plugin`; between them is one `Link`, on which both serve and both call.
Names are imported when they are first used, so that `import plugmux` itself costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contract.registration import Configuration, Registration
    from .errors import ConfigError, LinkError, PlugmuxError
    from .link.link import Link, Peer
    from .link.remote import Remote
    from .plugin import Configured, Instances, Plugin
    from .runtime import (
        BadConfiguration,
        BreakerPolicy,
        Health,
        HealthPolicy,
        Launch,
        Limits,
        PluginCause,
        PluginError,
        PluginHandle,
        RestartPolicy,
        RetryPolicy,
        Runtime,
        State,
    )

__all__ = [
    "BadConfiguration",
    "BreakerPolicy",
    "ConfigError",
    "Configuration",
    "Configured",
    "Health",
    "HealthPolicy",
    "PluginHandle",
    "Instances",
    "Launch",
    "Limits",
    "Link",
    "LinkError",
    "Peer",
    "Plugin",
    "PluginCause",
    "PluginError",
    "PlugmuxError",
    "Registration",
    "Remote",
    "RestartPolicy",
    "RetryPolicy",
    "Runtime",
    "State",
]

_HOMES = {
    "errors": ("ConfigError", "LinkError", "PlugmuxError"),
    "link.link": ("Link", "Peer"),
    "plugin": ("Configured", "Instances", "Plugin"),
    "link.remote": ("Remote",),
    "contract.registration": ("Configuration", "Registration"),
    "runtime": (
        "BadConfiguration",
        "BreakerPolicy",
        "Health",
        "HealthPolicy",
        "PluginHandle",
        "Launch",
        "Limits",
        "PluginCause",
        "PluginError",
        "RestartPolicy",
        "RetryPolicy",
        "Runtime",
        "State",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
