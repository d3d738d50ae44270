"""The host's side: `async with Runtime([...]) as runtime`."""

from .breaker import BreakerPolicy, Circuit
from .configurations import BadConfiguration
from .container import ContainerRunner
from .detached import DetachedRunner
from .error import PluginCause, PluginError
from .events import Event
from .health import Health, HealthPolicy
from .hosted import HostedPlugin
from .limits import Limits
from .listener import ListenError
from .local import LocalRunner
from .logs import LogEntry, LogSource
from .requirement import Requirement
from .retry import RetryPolicy
from .runner import Run, Runner
from .runtime import Runtime
from .source import Launch, PluginSource, Restart, name_of_command, parse_source
from .state import State

__all__ = [
    "BadConfiguration",
    "BreakerPolicy",
    "Circuit",
    "ContainerRunner",
    "DetachedRunner",
    "Event",
    "Health",
    "HealthPolicy",
    "HostedPlugin",
    "Launch",
    "Limits",
    "ListenError",
    "LocalRunner",
    "LogEntry",
    "LogSource",
    "PluginCause",
    "PluginError",
    "PluginSource",
    "Requirement",
    "Restart",
    "RetryPolicy",
    "Run",
    "Runner",
    "Runtime",
    "State",
    "name_of_command",
    "parse_source",
]
