"""The runtime for programs without asyncio: the same names, and methods that wait.

with Runtime(["./kv-plugin"]) as runtime:
    kv = runtime.client(KeyValueClient)
    print(kv.get(GetRequest(key="a"), timeout=1.0))
"""

from ..contract.registration import Configuration, Registration
from ..runtime import (
    BreakerPolicy,
    Event,
    HostedPlugin,
    Launch,
    Limits,
    PluginCause,
    PluginError,
    Restart,
    RetryPolicy,
    State,
)
from .objects import Remote
from .resolver import Resolver
from .runtime import Runtime
from .thread import LoopThread

__all__ = [
    "BreakerPolicy",
    "Configuration",
    "Event",
    "HostedPlugin",
    "Launch",
    "Limits",
    "LoopThread",
    "PluginCause",
    "PluginError",
    "Registration",
    "Remote",
    "Resolver",
    "Restart",
    "RetryPolicy",
    "Runtime",
    "State",
]
