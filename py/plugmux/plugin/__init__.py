"""The SDK for plugins: `Plugin(service, ...).run()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import import_name
from .dial import DialError
from .plugin import Plugin, Traits
from .register import RegistrationFailed

if TYPE_CHECKING:
    from .configuration import Configured
    from .instances import Instances
    from .logging import LogHandler

__all__ = ["Configured", "DialError", "Instances", "LogHandler", "Plugin", "RegistrationFailed", "Traits"]

_HOMES = {"Configured": ".configuration", "Instances": ".instances", "LogHandler": ".logging"}
"""What is imported on first use, so that a plugin without it starts faster."""


def __getattr__(name: str) -> object:
    return import_name(__name__, _HOMES, name)
