"""The SDK for plugins: `Plugin(service, ...).run()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dial import DialError
from .plugin import Plugin, Traits
from .register import RegistrationFailed

if TYPE_CHECKING:
    from .configuration import Configured
    from .instances import Instances
    from .logging import LogHandler

__all__ = ["Configured", "DialError", "Instances", "LogHandler", "Plugin", "RegistrationFailed", "Traits"]


def __getattr__(name: str) -> object:
    if name == "LogHandler":  # Imported on first use, so that a plugin without it starts faster.
        from .logging import LogHandler

        return LogHandler
    if name == "Configured":
        from .configuration import Configured

        return Configured
    if name == "Instances":
        from .instances import Instances

        return Instances
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
