"""The host's side: `async with Runtime([...]) as runtime`."""

from ..discovery.requirement import Requirement
from ..runners.container import ContainerRunner
from ..runners.detached import DetachedRunner
from .calls.breaker import BreakerPolicy, Circuit
from .calls.retry import RetryPolicy
from .configuration import BadConfiguration
from .error import PluginCause, PluginError
from .events import Event, EventKind
from .health.policy import Health, HealthPolicy
from .logs.log import LogEntry, LogSource
from .permissions import Permissions, SocketUse
from .plugin import PluginHandle
from .process.limits import Limits
from .process.local import LocalRunner
from .process.runner import Run, Runner
from .runtime import Runtime
from .socket.binding import ListenError
from .source import Launch, PluginSource, RestartPolicy, name_of_command, parse_source
from .state import State

__all__ = [
    "BadConfiguration",
    "BreakerPolicy",
    "Circuit",
    "ContainerRunner",
    "DetachedRunner",
    "Event",
    "EventKind",
    "Health",
    "HealthPolicy",
    "PluginHandle",
    "Launch",
    "Limits",
    "ListenError",
    "LocalRunner",
    "LogEntry",
    "LogSource",
    "Permissions",
    "PluginCause",
    "PluginError",
    "PluginSource",
    "Requirement",
    "RestartPolicy",
    "RetryPolicy",
    "Run",
    "Runner",
    "Runtime",
    "SocketUse",
    "State",
    "name_of_command",
    "parse_source",
]
