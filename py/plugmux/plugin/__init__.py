"""The SDK for plugins: `Plugin(service, ...).run()`."""

from .dial import DialError
from .plugin import Plugin
from .records import LogHandler
from .register import RegistrationFailed

__all__ = ["DialError", "LogHandler", "Plugin", "RegistrationFailed"]
