"""Programs that outlive this process: not on Windows, where every child is in a job that ends with this process."""

from __future__ import annotations

from ...errors import ConfigError
from ..interface import Program

__all__ = ["check_detached", "kill_detached", "start_detached"]


def check_detached() -> None:
    """Check that programs can outlive this process here.

    Raises:
        ConfigError: they cannot.
    """
    raise _refused()


async def start_detached(program: Program, output: int, source: int = 0) -> int:
    """Start nothing.

    Raises:
        ConfigError: always.
    """
    raise _refused()


def kill_detached(pid: int, started: str | None) -> None:
    """End nothing, as nothing was started."""


def _refused() -> ConfigError:
    return ConfigError(
        "detached plugins are not supported on Windows: start the plugin by itself, with PLUGMUX_SOCKET set to the "
        "runtime's address, or use the default runner"
    )
