"""The runtime for programs without asyncio: the same names, and methods that wait.

with Runtime(["./kv-plugin"]) as runtime:
    kv = runtime.client(KeyValueClient)
    print(kv.get(GetRequest(key="a"), timeout=1.0))
"""

from ..connect import Code, RpcError
from ..contract.registration import Configuration, Registration
from ..contract.version import COMPILED
from ..discovery import Directory, Installed
from ..errors import BadConfiguration, ConfigError, PluginCause, PluginError, PlugmuxError
from ..network.tls import TLS
from ..runtime import (
    BreakerPolicy,
    Event,
    HealthPolicy,
    Host,
    Interceptors,
    Launch,
    Limits,
    Permissions,
    PluginHandle,
    Policies,
    RestartPolicy,
    RetryPolicy,
    State,
    Timeouts,
)
from ..runtime.remote.source import Remote
from .objects import Loan, RemoteObject
from .resolver import Resolver
from .runtime import Runtime
from .thread import LoopThread

__all__ = [
    "COMPILED",
    "BadConfiguration",
    "BreakerPolicy",
    "Code",
    "ConfigError",
    "Configuration",
    "Directory",
    "Event",
    "HealthPolicy",
    "Host",
    "Installed",
    "Interceptors",
    "Launch",
    "Limits",
    "Loan",
    "LoopThread",
    "Permissions",
    "PluginCause",
    "PluginError",
    "PluginHandle",
    "PlugmuxError",
    "Policies",
    "Registration",
    "Remote",
    "RemoteObject",
    "Resolver",
    "RestartPolicy",
    "RetryPolicy",
    "RpcError",
    "Runtime",
    "State",
    "TLS",
    "Timeouts",
]
