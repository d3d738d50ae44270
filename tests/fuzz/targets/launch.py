"""Any text as a launch configuration: one that survives being written and read again, or `ConfigError`."""

from __future__ import annotations

from plugmux.contract.launch import LaunchConfig
from plugmux.errors import ConfigError


def check(data: bytes) -> None:
    """The text is that of the environment variable, as Python reads it."""
    try:
        config = LaunchConfig.from_json(data.decode("utf-8", "surrogateescape"))
    except ConfigError:
        return
    again = LaunchConfig.from_json(config.to_json())
    assert again.name == config.name
    assert again.descriptors == config.descriptors
    config.to_environ()
