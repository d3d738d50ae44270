"""Plugins of the test's own process that link to runtimes over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from plugmux import Plugin, Runtime
from plugmux.plugin.network import NetworkLinks
from plugmux.runtime import State

__all__ = ["in_state", "serving", "until"]


@asynccontextmanager
async def serving(plugin: Plugin, links: NetworkLinks) -> AsyncIterator[asyncio.Task[None]]:
    """Have a plugin link to runtimes, as `Plugin.run` does, for the length of a block."""
    task = asyncio.create_task(links.serve(plugin._connection))
    try:
        yield task
    finally:
        plugin.stop()
        await asyncio.gather(task, return_exceptions=True)


async def until(done: Callable[[], Any]) -> None:
    """Wait for a state of the test's own process."""
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.01)


async def in_state(runtime: Runtime, name: str, state: State = State.RUNNING) -> None:
    """Wait until a runtime has a plugin in a state."""
    await until(lambda: any(plugin.name == name and plugin.state is state for plugin in runtime.plugins()))
