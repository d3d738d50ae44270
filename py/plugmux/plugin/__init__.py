"""The SDK for plugins: `Plugin(service, ...).run()`."""

from .dial import DialError
from .plugin import Plugin
from .register import RegistrationFailed

__all__ = ["DialError", "Plugin", "RegistrationFailed"]
