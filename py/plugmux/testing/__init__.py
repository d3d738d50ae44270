"""Tests of plugins and hosts: `async with plugin_host(Plugin(Store())) as host`. (docs/testing.md)"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import import_name

if TYPE_CHECKING:
    from .calls import Call, ExpectedCall, assert_calls
    from .clock import FakeClock
    from .faults import Direction, LinkFaults
    from .host import PluginHost, launch_plugin, plugin_host
    from .recipes import BuildError, CompilerMissing, RecipeError
    from .recording import RecordingError
    from .replay import Replay
    from .runner import MemoryRunner

__all__ = [
    "BuildError",
    "Call",
    "CompilerMissing",
    "Direction",
    "ExpectedCall",
    "FakeClock",
    "LinkFaults",
    "MemoryRunner",
    "PluginHost",
    "RecipeError",
    "RecordingError",
    "Replay",
    "assert_calls",
    "launch_plugin",
    "plugin_host",
]

_HOMES = {
    "calls": ("Call", "ExpectedCall", "assert_calls"),
    "clock": ("FakeClock",),
    "faults": ("Direction", "LinkFaults"),
    "host": ("PluginHost", "launch_plugin", "plugin_host"),
    "recipes": ("BuildError", "CompilerMissing", "RecipeError"),
    "recording": ("RecordingError",),
    "replay": ("Replay",),
    "runner": ("MemoryRunner",),
}
_HOME = {name: f".{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a name when it is first used: pytest loads this package wherever plugmux is installed."""
    return import_name(__name__, _HOME, name)
