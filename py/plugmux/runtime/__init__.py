"""The host's side: `async with Runtime([...]) as runtime`."""

from .error import PluginCause, PluginError
from .events import Event
from .hosted import HostedPlugin
from .listener import ListenError
from .runner import Run, Runner
from .runtime import Runtime
from .source import Launch, PluginSource, Restart, name_of_command
from .state import State

__all__ = [
    "Event",
    "HostedPlugin",
    "Launch",
    "ListenError",
    "PluginCause",
    "PluginError",
    "PluginSource",
    "Restart",
    "Run",
    "Runner",
    "Runtime",
    "State",
    "name_of_command",
]
