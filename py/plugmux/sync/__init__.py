"""The runtime for programs without asyncio: the same names, and methods that wait.

with Runtime(["./kv-plugin"]) as runtime:
    kv = runtime.client(KeyValueClient)
    print(kv.get(GetRequest(key="a"), timeout=1.0))
"""

from ..contract.registration import Configuration, Registration
from ..runtime import (
    BreakerPolicy,
    Event,
    Launch,
    Limits,
    PluginCause,
    PluginError,
    PluginHandle,
    RestartPolicy,
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
    "PluginHandle",
    "Launch",
    "Limits",
    "LoopThread",
    "PluginCause",
    "PluginError",
    "Registration",
    "Remote",
    "Resolver",
    "RestartPolicy",
    "RetryPolicy",
    "Runtime",
    "State",
]
