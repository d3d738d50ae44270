"""What only asyncio's own event loop on Windows can: wait for pipes and handles, by a completion port."""

from __future__ import annotations

import asyncio
from typing import Any

from ....errors import ConfigError

__all__ = ["pipe_loop", "waits_for_pipes"]


def waits_for_pipes() -> bool:
    """Whether the running event loop can wait for pipes: asyncio's own can, others leave that to threads."""
    return hasattr(asyncio.get_running_loop(), "_proactor")


def pipe_loop() -> Any:
    """The running event loop, which can wait for named pipes.

    Raises:
        ConfigError: it is another one, which cannot.
    """
    loop = asyncio.get_running_loop()
    if not waits_for_pipes():
        raise ConfigError(
            f"the event loop {type(loop).__name__} cannot wait for named pipes on Windows: run plugmux in asyncio's "
            "ProactorEventLoop, which asyncio.run takes by default"
        )
    return loop
