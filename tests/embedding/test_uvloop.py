"""Host and plugin on uvloop, the extra: what differs from asyncio is its transports."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest, WatchRequest

from plugmux import PluginCause, RestartPolicy, Runtime
from plugmux.connect import RpcError
from plugmux.runtime import Launch
from support.programs import KV_PLUGIN, script

ON_UVLOOP = KV_PLUGIN.replace("plugin.run()", "import uvloop; plugin.run(loop_factory=uvloop.new_event_loop)")


async def use_a_plugin(program: str) -> None:
    launch = Launch([program], restart=RestartPolicy(delay=0.01))
    async with Runtime([launch]) as runtime:
        kv, plugin = runtime.client(KeyValueClient), runtime.plugin("kv")
        large = bytes(range(256)) * 8192
        await kv.put(PutRequest(key="a large one", value=large))
        answers = await asyncio.gather(*(kv.get(GetRequest(key="a large one")) for _ in range(4)))
        assert {answer.value for answer in answers} == {large}
        async with kv.watch(WatchRequest(key="a")) as values:
            assert [value.value async for value in values] == [b"0", b"1", b"2"]
        before = plugin.pid
        with pytest.raises(RpcError, match="exited with status 7"):
            await kv.get(GetRequest(key="exit"))
        assert plugin.error is not None
        assert plugin.error.cause is PluginCause.EXITED
        assert plugin.error.stderr == "on my way out"
        assert int((await kv.get(GetRequest(key="pid"))).value) not in (before, None)


@pytest.mark.parametrize("source", [KV_PLUGIN, ON_UVLOOP], ids=["a plugin on asyncio", "a plugin on uvloop"])
def test_a_host_on_uvloop_uses_a_plugin(tmp_path: Path, source: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use_a_plugin(script(tmp_path, "kv", source)))


async def test_a_plugin_on_uvloop_is_used_by_a_host_on_asyncio(tmp_path: Path) -> None:
    await use_a_plugin(script(tmp_path, "kv", ON_UVLOOP))
