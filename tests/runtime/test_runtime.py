"""A runtime with real plugin processes: calls, routing, callbacks, crashes, restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from kv.v1.kv_connect import AuditService, KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse, PutRequest, RecordRequest, RecordResponse, WatchRequest

from plugmux import ConfigError, Launch, PluginError, RestartPolicy, Runtime
from plugmux.connect import Code, Context, RpcError
from plugmux.runtime import State
from support.programs import KV_PLUGIN, kv_program, script
from support.resources import end_at_once

Switch = Callable[[Runtime, str], Awaitable[object]]


class Audit(AuditService):
    def __init__(self) -> None:
        self.events: list[str] = []

    async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
        self.events.append(f"{request.plugin}: {request.event}")
        return RecordResponse()


class Fixed(KeyValueService):
    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        return GetResponse(value=b"fixed")


async def test_calls_reach_a_launched_plugin(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        (plugin,) = runtime.plugins()
        assert (plugin.name, plugin.version, plugin.state) == ("kv", "v1.2.3", State.RUNNING)
        kv = runtime.client(KeyValueClient)
        await kv.put(PutRequest(key="a", value=b"1"))
        assert (await kv.get(GetRequest(key="a"))).value == b"1"
        assert (await kv.get(GetRequest(key="pid"))).value == str(plugin.pid).encode()
        async with kv.watch(WatchRequest(key="a")) as values:
            assert [value.value async for value in values] == [b"0", b"1", b"2"]
        assert plugin.in_flight == 0
        with pytest.raises(RpcError, match="no key 'b'") as caught:
            await kv.get(GetRequest(key="b"))
        assert caught.value.code is Code.NOT_FOUND
    assert plugin.state is State.STOPPED


async def test_a_plugin_runs_over_a_pair_of_pipes(tmp_path: Path) -> None:
    async with Runtime([Launch([kv_program(tmp_path)], link="pipes")]) as runtime:
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value


async def test_several_plugins_of_one_service_are_told_apart_by_name(tmp_path: Path) -> None:
    sources = [kv_program(tmp_path, "one"), kv_program(tmp_path, "two")]
    async with Runtime(sources) as runtime:
        with pytest.raises(RpcError, match=r"one, two.*name the plugin"):
            await runtime.client(KeyValueClient).get(GetRequest(key="pid"))
        pids = [
            (await runtime.client(KeyValueClient, plugin=name).get(GetRequest(key="pid"))).value
            for name in ("one", "two")
        ]
        assert pids == [str(plugin.pid).encode() for plugin in runtime.plugins()]


async def test_the_higher_priority_is_asked_first(tmp_path: Path) -> None:
    sources = [kv_program(tmp_path, "one"), script(tmp_path, "two", KV_PLUGIN, traits={"priority": 1})]
    async with Runtime(sources) as runtime:
        pid = (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value
        assert pid == str(runtime.plugin("two").pid).encode()


async def test_a_service_that_nobody_serves_lists_what_is_served(tmp_path: Path) -> None:
    async with Runtime() as runtime:
        with pytest.raises(RpcError, match=r"no plugin serves kv\.v1\.KeyValueService"):
            await runtime.client(KeyValueClient).get(GetRequest(key="a"))
        with pytest.raises(RpcError, match="no plugin of that name"):
            await runtime.client(KeyValueClient, plugin="kv").get(GetRequest(key="a"))


async def test_an_object_of_the_host_is_a_plugin_too() -> None:
    async with Runtime([Fixed()]) as runtime:
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="a"))).value == b"fixed"
        assert [plugin.name for plugin in runtime.plugins()] == ["Fixed"]


async def test_a_plugin_calls_the_host_while_it_serves_it(tmp_path: Path) -> None:
    audit = Audit()
    async with Runtime([kv_program(tmp_path)], services=[audit]) as runtime:
        with pytest.raises(RpcError, match="no key"):
            await runtime.client(KeyValueClient).get(GetRequest(key="call the host"))
    assert audit.events == ["kv: get"]


async def test_a_crash_ends_calls_in_flight_with_the_plugin_the_exit_and_its_last_words(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        with pytest.raises(RpcError) as caught:
            await runtime.client(KeyValueClient).get(GetRequest(key="exit"))
        assert caught.value.code is Code.UNAVAILABLE
        for told in ("'kv'", "exited with status 7", "on my way out"):
            assert told in caught.value.message


async def test_a_call_waits_for_a_plugin_that_starts_again(tmp_path: Path) -> None:
    launch = Launch([kv_program(tmp_path)], restart=RestartPolicy(delay=0.05))
    async with Runtime([launch]) as runtime:
        kv = runtime.client(KeyValueClient)
        before = (await kv.get(GetRequest(key="pid"))).value
        end_at_once(int(before))
        plugin = runtime.plugin("kv")
        while plugin.state is State.RUNNING:
            await plugin.changed()
        assert (await kv.get(GetRequest(key="pid"))).value != before
        assert plugin.restarts == 1


async def test_a_call_to_a_plugin_that_starts_again_waits_no_longer_than_its_deadline(tmp_path: Path) -> None:
    launch = Launch([kv_program(tmp_path)], restart=RestartPolicy(delay=20))
    async with Runtime([launch]) as runtime:
        kv = runtime.client(KeyValueClient)
        with pytest.raises(RpcError):
            await kv.get(GetRequest(key="exit"))
        with pytest.raises(RpcError) as caught:
            await kv.get(GetRequest(key="pid"), timeout=0.05)
        assert caught.value.code is Code.DEADLINE_EXCEEDED


async def test_a_plugin_that_ends_too_often_is_given_up(tmp_path: Path) -> None:
    launch = Launch([kv_program(tmp_path)], restart=RestartPolicy(tries=1, delay=0.01))
    async with Runtime([launch]) as runtime:
        kv, plugin = runtime.client(KeyValueClient), runtime.plugin("kv")
        for _ in range(2):
            with pytest.raises(RpcError):
                await kv.get(GetRequest(key="exit"))
        while plugin.state is not State.GAVE_UP:
            await plugin.changed()
        with pytest.raises(RpcError, match="exited with status 7"):
            await kv.get(GetRequest(key="pid"))


async def test_a_plugin_is_disabled_enabled_and_restarted(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        kv = runtime.client(KeyValueClient)
        before = (await kv.get(GetRequest(key="pid"))).value
        await runtime.disable("kv")
        with pytest.raises(RpcError, match="disabled"):
            await kv.get(GetRequest(key="pid"))
        await runtime.enable("kv")
        between = (await kv.get(GetRequest(key="pid"))).value
        await runtime.restart("kv")
        after = (await kv.get(GetRequest(key="pid"))).value
        assert len({before, between, after}) == 3


@pytest.mark.parametrize("switch", [Runtime.disable, Runtime.enable, Runtime.restart, Runtime.replace])
@pytest.mark.parametrize(("name", "told"), [("nobody", "no plugin of that name"), ("Fixed", "not launched by this")])
async def test_what_was_not_launched_cannot_be_switched(switch: Switch, name: str, told: str) -> None:
    async with Runtime([Fixed()]) as runtime:
        with pytest.raises(PluginError, match=told):
            await switch(runtime, name)


async def test_whoever_asks_for_an_end_need_not_wait_for_it(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        plugin = runtime.plugin("kv")
        asking = asyncio.create_task(runtime.disable("kv"))
        while plugin.state is State.RUNNING:
            await asyncio.sleep(0)
        asking.cancel()
        while plugin.state is not State.DISABLED:
            await plugin.changed()


async def test_what_does_not_run_leaves_its_service_to_another(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path, "one"), kv_program(tmp_path, "two")]) as runtime:
        await runtime.disable("one")
        pid = (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value
        assert pid == str(runtime.plugin("two").pid).encode()
        await runtime.disable("two")
        with pytest.raises(RpcError, match="one, two"):
            await runtime.client(KeyValueClient).get(GetRequest(key="pid"))


async def test_two_plugins_of_one_name_are_refused(tmp_path: Path) -> None:
    source = kv_program(tmp_path)
    with pytest.raises(ConfigError, match="named 'kv' already"):
        await Runtime([source, source]).start()


async def test_a_plugin_gets_a_safe_environment_and_what_the_launch_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_SECRET", "x")
    launch = Launch([kv_program(tmp_path)], env={"GIVEN": "yes"})
    async with Runtime([launch]) as runtime:
        kv = runtime.client(KeyValueClient)
        seen = {name: (await kv.get(GetRequest(key=f"env {name}"))).value for name in ("HOST_SECRET", "GIVEN", "PATH")}
        launch_variables = (await kv.get(GetRequest(key="env PLUGMUX_PLUGIN_LAUNCH_CFG"))).value
    assert seen["HOST_SECRET"] == b""
    assert seen["GIVEN"] == b"yes"
    assert seen["PATH"]
    assert launch_variables == b""


async def test_a_plugin_is_started_in_its_directory(tmp_path: Path) -> None:
    program = script(tmp_path, "kv", KV_PLUGIN.replace('"pid": str(os.getpid())', '"pid": os.getcwd()'))
    (tmp_path / "a b").mkdir()
    async with Runtime([Launch([program], cwd=tmp_path / "a b")]) as runtime:
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value == str(tmp_path / "a b").encode()


async def test_events_tell_every_change_of_state(tmp_path: Path) -> None:
    runtime = Runtime([kv_program(tmp_path)])
    seen: list[tuple[str, State]] = []

    async def read() -> None:
        async for event in runtime.events():
            seen.append((event.plugin, event.state))  # noqa: PERF401 -- what has been seen must show at any time

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    async with runtime:
        pass
    await reader
    expected = [State.STARTING, State.REGISTERING, State.RUNNING, State.STOPPING, State.STOPPED]
    assert seen == [("kv", state) for state in expected]
