"""plugmux: an embeddable, minimal plugin runtime.

A host embeds a `Runtime`, a plugin is a `Plugin`; between them is one `Link`, on which both serve and both call.
What every author needs is here; the rest is in its layer (docs/architecture.md). Names are imported when they are first
used, so that `import plugmux` itself costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import import_name

if TYPE_CHECKING:
    from .connect import Code, RpcError
    from .contract.version import COMPILED
    from .discovery import Directory, Installed
    from .errors import ConfigError, PluginCause, PluginError, PlugmuxError
    from .network.tls import TLS
    from .plugin import Plugin
    from .runtime import (
        BreakerPolicy,
        HealthPolicy,
        Host,
        Interceptors,
        Launch,
        Permissions,
        Policies,
        RestartPolicy,
        RetryPolicy,
        Runtime,
        Timeouts,
    )
    from .runtime.remote.source import Remote

__all__ = [
    "COMPILED",
    "BreakerPolicy",
    "Code",
    "ConfigError",
    "Directory",
    "HealthPolicy",
    "Host",
    "Installed",
    "Interceptors",
    "Launch",
    "Permissions",
    "Plugin",
    "PluginCause",
    "PluginError",
    "PlugmuxError",
    "Policies",
    "Remote",
    "RestartPolicy",
    "RetryPolicy",
    "RpcError",
    "Runtime",
    "TLS",
    "Timeouts",
]


def _refuse_subinterpreters() -> None:
    import _thread

    is_main = getattr(_thread, "_is_main_interpreter", None)  # since Python 3.12, as are interpreters of their own lock
    if is_main is not None and not is_main():
        raise ImportError(
            "plugmux cannot be imported in a subinterpreter: signals and protobuf need the main interpreter of the "
            "process; import it there, or start another process"
        )


_refuse_subinterpreters()

_HOMES = {
    "connect": ("Code", "RpcError"),
    "contract.version": ("COMPILED",),
    "discovery": ("Directory", "Installed"),
    "errors": ("ConfigError", "PluginCause", "PluginError", "PlugmuxError"),
    "network.tls": ("TLS",),
    "plugin": ("Plugin",),
    "runtime": (
        "BreakerPolicy",
        "HealthPolicy",
        "Host",
        "Interceptors",
        "Launch",
        "Permissions",
        "Policies",
        "RestartPolicy",
        "RetryPolicy",
        "Runtime",
        "Timeouts",
    ),
    "runtime.remote.source": ("Remote",),
}
_HOME = {name: f".{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    return import_name(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
