"""The end of a runtime: from any task, more than once, and nothing runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from kv.v1.kv_connect import AuditService, KeyValueClient
from kv.v1.kv_pb2 import GetRequest, RecordRequest, RecordResponse

from plugmux import Launch, Runtime
from plugmux.connect import Code, Context, RpcError
from plugmux.errors import StateError
from plugmux.runtime import State
from support.programs import kv_program

pytestmark = pytest.mark.usefixtures("watching")


def alive(pid: int | None) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_runtime_is_closed_twice_and_from_several_tasks(tmp_path: Path) -> None:
    runtime = Runtime([kv_program(tmp_path)])
    await runtime.start()
    await asyncio.gather(runtime.close(), runtime.close(), asyncio.create_task(runtime.close()))
    await runtime.close()
    assert runtime.plugins()[0].state is State.STOPPED


async def test_a_runtime_that_never_started_is_closed() -> None:
    await Runtime().close()


async def test_closing_ends_the_calls_in_flight(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        call = asyncio.ensure_future(runtime.client(KeyValueClient).get(GetRequest(key="hang")))
        while not runtime.plugin("kv").in_flight:
            await asyncio.sleep(0)
    with pytest.raises(RpcError) as caught:
        await call
    assert caught.value.code is Code.UNAVAILABLE


async def test_a_close_that_is_cancelled_is_done_to_the_end_all_the_same(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        plugin = runtime.plugin("kv")
        pid = plugin.pid
        impatient = asyncio.create_task(runtime.close())
        while plugin.state is State.RUNNING:
            await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert plugin.state is State.STOPPED
        assert not alive(pid)


async def test_what_a_plugin_calls_may_close_the_runtime(tmp_path: Path) -> None:
    class Closing(AuditService):
        async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
            await runtime.close()
            return RecordResponse()

    async with Runtime([kv_program(tmp_path)], services=[Closing()]) as runtime:
        plugin = runtime.plugin("kv")
        pid = plugin.pid
        with pytest.raises(RpcError) as caught:
            await runtime.client(KeyValueClient).get(GetRequest(key="call the host"))
        assert caught.value.code is Code.UNAVAILABLE
    assert plugin.state is State.STOPPED
    assert not alive(pid)


BEGINNINGS: dict[str, Callable[[Runtime, Launch], Awaitable[object]]] = {
    "start": lambda runtime, _: runtime.start(),
    "launch": lambda runtime, other: runtime.launch(other),
    "launch of an object": lambda runtime, _: runtime.launch(AuditService()),
    "enable": lambda runtime, _: runtime.enable("kv"),
    "restart": lambda runtime, _: runtime.restart("kv"),
    "replace": lambda runtime, _: runtime.replace("kv"),
}


@pytest.mark.parametrize("begin", BEGINNINGS.values(), ids=list(BEGINNINGS))
async def test_a_closed_runtime_begins_nothing(tmp_path: Path, begin: Callable[..., Awaitable[object]]) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        pass
    with pytest.raises(StateError, match="has been closed"):
        await begin(runtime, Launch([kv_program(tmp_path, "other")]))
    assert [plugin.state for plugin in runtime.plugins()] == [State.STOPPED]


async def test_a_plugin_that_is_being_launched_ends_with_the_runtime(tmp_path: Path) -> None:
    async with Runtime() as runtime:
        launching = asyncio.create_task(runtime.launch(kv_program(tmp_path)))
        while not (plugins := runtime.plugins()) or plugins[0].pid is None:
            await asyncio.sleep(0)
        pid = plugins[0].pid
    with pytest.raises(StateError, match="has been closed"):
        await launching
    assert not alive(pid)


async def test_starting_twice_is_refused_and_ends_nothing(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        with pytest.raises(StateError, match="started already"):
            await runtime.start()
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value
