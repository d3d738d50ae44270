"""The death of a process is seen although another process holds its end of the connection open."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from plugmux import Runtime
from support.programs import script
from support.resources import alive
from support.tools import LANGUAGES, example_plugin

HOLDER = """
    import subprocess
    from contextlib import asynccontextmanager

    def hold(link):
        holder = subprocess.Popen(["sleep", "1000"], pass_fds=link.descriptors(), stdout=subprocess.DEVNULL)
        print(holder.pid, flush=True)
"""

HOST = (
    HOLDER
    + """
    import asyncio
    from plugmux import Runtime

    async def main():
        async with Runtime(listen=[OPTIONS["address"]]) as runtime:
            async for event in runtime.events():
                hold(runtime.plugin(event.plugin).link)

    asyncio.run(main())
"""
)

PLUGIN = (
    HOLDER
    + """
    from plugmux import Plugin

    @asynccontextmanager
    async def lifespan(plugin):
        hold(plugin.link)
        yield

    Plugin(app=lambda *_: None, name="kv", version="v1.0.0", lifespan=lifespan).run()
"""
)


@asynccontextmanager
async def started(*command: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **environ}, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def killed(process: asyncio.subprocess.Process) -> int:
    """Kill a process once it has told the id of its child that holds its connection, and return that."""
    assert process.stdout is not None
    holder = int(await process.stdout.readline())
    process.kill()
    await process.wait()
    return holder


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_leaves_a_runtime_whose_process_has_died(language: str, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    async with AsyncExitStack() as running:
        host = await running.enter_async_context(started(script(tmp_path, "host", HOST, address=address)))
        while not (tmp_path / "s").exists():
            await asyncio.sleep(0.005)
        plugin = await running.enter_async_context(started(*example_plugin(language), PLUGMUX_SOCKET=address))
        holder = await killed(host)
        async with Runtime(listen=[address]) as runtime:
            while not [each for each in runtime.plugins() if each.ready]:
                await asyncio.sleep(0.005)
            assert [each.pid for each in runtime.plugins()] == [plugin.pid]
        assert alive(holder)
        os.kill(holder, signal.SIGKILL)


async def test_a_runtime_forgets_a_plugin_whose_process_has_died(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    async with (
        Runtime(listen=[address]) as runtime,
        started(script(tmp_path, "kv", PLUGIN), PLUGMUX_SOCKET=address) as process,
    ):
        while not [plugin for plugin in runtime.plugins() if plugin.ready]:
            await asyncio.sleep(0.005)
        holder = await killed(process)
        while runtime.plugins():
            await asyncio.sleep(0.005)
        assert alive(holder)
        os.kill(holder, signal.SIGKILL)
