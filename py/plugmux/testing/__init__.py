"""Tests of plugins and hosts: `async with plugin_host(Plugin(Store())) as host`. (docs/testing.md)"""

from .calls import Call, ExpectedCall, assert_calls
from .clock import FakeClock
from .faults import Direction, LinkFaults
from .host import PluginHost, launch_plugin, plugin_host
from .recording import RecordingError
from .replay import Replay
from .runner import MemoryRunner

__all__ = [
    "Call",
    "Direction",
    "ExpectedCall",
    "FakeClock",
    "LinkFaults",
    "MemoryRunner",
    "PluginHost",
    "RecordingError",
    "Replay",
    "assert_calls",
    "launch_plugin",
    "plugin_host",
]
