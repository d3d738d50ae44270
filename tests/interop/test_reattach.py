"""Plugins that start by themselves outlive their runtime, and come to the next one: a host is upgraded under them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import Runtime
from plugmux.runtime import PluginHandle, State
from support.tools import example_plugin

TIME = 60.0


@asynccontextmanager
async def started(language: str, address: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The example plugin of a language, started by hand."""
    process = await asyncio.create_subprocess_exec(
        *example_plugin(language), env={**os.environ, "PLUGMUX_SOCKET": address}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def arrived(runtime: Runtime, count: int = 1) -> list[PluginHandle]:
    """The plugins of a runtime, as soon as there are enough."""
    async with asyncio.timeout(TIME):
        while len(running := [plugin for plugin in runtime.plugins() if plugin.state is State.RUNNING]) < count:
            await asyncio.sleep(0.01)
    return running


@pytest.fixture(params=["python", "go", "ts"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/s"


async def test_a_plugin_comes_to_the_next_runtime_with_what_it_knows(language: str, address: str) -> None:
    async with Runtime(listen=[address]) as first, started(language, address) as process:
        (plugin,) = await arrived(first)
        assert (plugin.external, plugin.pid) == (True, process.pid)
        await first.client(KeyValueClient).put(PutRequest(key="a", value=b"kept"))
        await first.close()
        assert process.returncode is None
        async with Runtime(listen=[address]) as second:
            await arrived(second)
            assert (await second.client(KeyValueClient).get(GetRequest(key="a"))).value == b"kept"
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0


async def test_a_plugin_that_is_told_to_end_does_not_look_for_another_runtime(language: str, address: str) -> None:
    from plugmux_proto.plugins.v1.plugins_connect import PluginClient
    from plugmux_proto.plugins.v1.plugins_pb2 import ShutdownRequest

    async with Runtime(listen=[address]) as runtime, started(language, address) as process:
        (plugin,) = await arrived(runtime)
        assert plugin.link is not None
        await plugin.link.client(PluginClient).shutdown(ShutdownRequest())
        assert await process.wait() == 0
