"""Switching plugins at awkward moments: when the caller leaves, another switches too, or the runner fails."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse

from plugmux import ConfigError, Launch, PluginCause, PluginError, Policies, RestartPolicy, Runtime
from plugmux.errors import StateError
from plugmux.runtime import LocalRunner, PluginHandle, Run, State
from support.programs import KV_PLUGIN, kv_program, script


class Fixed(KeyValueService):
    async def get(self, request: GetRequest, context: object) -> GetResponse:
        return GetResponse(value=b"fixed")


async def reaches(plugin: PluginHandle, state: State) -> None:
    while plugin.state is not state:
        await plugin.changed()


async def replaced(runtime: Runtime) -> PluginHandle | None:
    """Replace the plugin, unless it is being replaced already."""
    try:
        return await runtime.replace("kv")
    except ConfigError:
        return None


async def leave(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_started_again_as_it_ends_runs(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        plugin = runtime.plugin("kv")

        async def revive() -> None:
            await reaches(plugin, State.DISABLED)
            await runtime.enable("kv")

        reviving = asyncio.create_task(revive())
        await runtime.disable("kv")
        await reviving
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value == str(plugin.pid).encode()
    assert plugin.state is State.STOPPED


async def test_to_enable_what_is_being_ended_waits_for_the_end(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        plugin = runtime.plugin("kv")
        ending = asyncio.create_task(runtime.disable("kv"))
        await reaches(plugin, State.STOPPING)
        await runtime.enable("kv")
        assert plugin.state is State.RUNNING
        await ending


async def test_what_is_disabled_while_it_is_restarted_or_enabled_stays_so_and_that_is_told(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        plugin = runtime.plugin("kv")
        restarting = asyncio.create_task(runtime.restart("kv"))
        await reaches(plugin, State.STOPPING)
        await runtime.disable("kv")
        with pytest.raises(PluginError, match="disabled"):
            await restarting
        enabling = asyncio.create_task(runtime.enable("kv"))
        await reaches(plugin, State.REGISTERING)
        await runtime.disable("kv")
        with pytest.raises(PluginError, match="it is"):
            await enabling
        assert plugin.state is State.DISABLED


async def test_a_restart_enables_nothing(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        await runtime.disable("kv")
        with pytest.raises(PluginError, match="disabled"):
            await runtime.restart("kv")
        assert runtime.plugin("kv").state is State.DISABLED
        await runtime.enable("kv")
        assert runtime.plugin("kv").state is State.RUNNING


async def test_a_restart_is_done_to_the_end_and_calls_wait_for_it(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        before = plugin.pid
        restarting = asyncio.create_task(runtime.restart("kv"))
        await reaches(plugin, State.STOPPING)
        await leave(restarting)
        assert int((await kv.get(GetRequest(key="pid"), timeout=120)).value) not in (before, None)
        assert plugin.state is State.RUNNING


async def test_a_launch_whose_caller_leaves_is_undone(tmp_path: Path) -> None:
    program = kv_program(tmp_path)
    async with Runtime() as runtime:
        launching = asyncio.create_task(runtime.launch(program))
        while not runtime.plugins():
            await asyncio.sleep(0)
        plugin = runtime.plugin("kv")
        await reaches(plugin, State.REGISTERING)
        await leave(launching)
        await reaches(plugin, State.STOPPED)
        while runtime.plugins():
            await asyncio.sleep(0)
        assert (await runtime.launch(program)).state is State.RUNNING


async def test_what_is_replaced_while_it_starts_has_been_started(tmp_path: Path) -> None:
    gate, program = tmp_path / "gate", kv_program(tmp_path, "new")
    held_up = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    slow = Launch([script(tmp_path, "kv", held_up + textwrap.dedent(KV_PLUGIN))], name="kv", timeout=60)
    async with Runtime() as runtime:
        launching = asyncio.create_task(runtime.launch(slow))
        while not runtime.plugins():
            await asyncio.sleep(0)
        new = await runtime.replace("kv", program)
        assert await launching is new is runtime.plugin("kv")
        gate.touch()
        await runtime.replace("kv", slow)
        await runtime.disable("kv")
        gate.unlink()
        enabling = asyncio.create_task(runtime.enable("kv"))
        await reaches(runtime.plugin("kv"), State.REGISTERING)
        new = await runtime.replace("kv", program)
        await enabling
        assert (new.state, runtime.plugins()) == (State.RUNNING, [new])


async def test_a_replacement_whose_caller_leaves_can_be_made_again(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        old = runtime.plugin("kv")
        replacing = asyncio.create_task(runtime.replace("kv"))
        await reaches(old, State.STOPPING)
        await leave(replacing)
        await reaches(old, State.STOPPED)
        while (again := await replaced(runtime)) is None:
            await asyncio.sleep(0)
        assert again.state is State.RUNNING


async def test_what_waits_for_its_turn_to_start_is_not_started_any_more(tmp_path: Path) -> None:
    launches = [Launch([script(tmp_path, name, "import time; time.sleep(60)")], name=name) for name in ("one", "two")]
    runtime = Runtime(launches, policies=Policies(parallel_starts=1))
    starting = asyncio.create_task(runtime.start())
    while not any(plugin.pid for plugin in runtime.plugins()):
        await asyncio.sleep(0)
    await runtime.close()
    with pytest.raises(StateError, match="has been closed"):
        await starting
    assert sorted(plugin.error is None for plugin in runtime.plugins()) == [True, True]
    assert {plugin.state for plugin in runtime.plugins()} == {State.STOPPED}


@pytest.mark.parametrize("how", ["at the start", "one after the other", "at the same time"])
async def test_two_objects_of_one_name_are_refused(how: str) -> None:
    if how == "at the start":
        with pytest.raises(ConfigError, match="named 'Fixed' already"):
            await Runtime([Fixed(), Fixed()]).start()
        return
    async with Runtime() as runtime:
        if how == "one after the other":
            await runtime.launch(Fixed())
            with pytest.raises(ConfigError, match="named 'Fixed' already"):
                await runtime.launch(Fixed())
        else:
            results = await asyncio.gather(runtime.launch(Fixed()), runtime.launch(Fixed()), return_exceptions=True)
            assert [type(result) for result in results if isinstance(result, Exception)] == [ConfigError]
        assert [plugin.name for plugin in runtime.plugins()] == ["Fixed"]


async def test_an_object_that_is_launched_as_the_runtime_closes_is_none_of_its_plugins() -> None:
    runtime = Runtime()
    await runtime.start()
    launching = asyncio.create_task(runtime.launch(Fixed()))
    await asyncio.sleep(0)
    await runtime.close()
    with pytest.raises(StateError, match="has been closed"):
        await launching
    assert runtime.plugins() == []


class FailingRun:
    """The run of a local process, one of whose verbs fails."""

    def __init__(self, run: Run, verb: str) -> None:
        self._run = run
        self._verb = verb

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    async def wait(self) -> None:
        await self._run.wait()
        if self._verb == "wait":
            raise OSError("no more")

    def terminate(self) -> None:
        if self._verb == "terminate":
            raise OSError("no more")
        self._run.terminate()


class FailingRunner(LocalRunner):
    def __init__(self, verb: str) -> None:
        self._verb = verb

    async def start(self, *arguments: Any) -> Any:
        return FailingRun(await super().start(*arguments), self._verb)


async def test_a_run_that_fails_at_its_end_keeps_nothing_from_closing(tmp_path: Path) -> None:
    good, bad = kv_program(tmp_path, "good"), kv_program(tmp_path, "bad")
    async with Runtime([good, Launch([bad], runner=FailingRunner("wait"))]) as runtime:
        events = runtime.events()
        following = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
    assert {plugin.state for plugin in runtime.plugins()} == {State.STOPPED}
    await following
    assert [event async for event in events][-1].state is State.STOPPED


async def test_a_run_that_cannot_be_terminated_is_killed(tmp_path: Path) -> None:
    program = script(tmp_path, "late", "import time; time.sleep(60)")
    launch = Launch([program], runner=FailingRunner("terminate"), timeout=0.2, restart=RestartPolicy(tries=0))
    async with Runtime() as runtime:
        with pytest.raises(PluginError) as caught:
            await runtime.launch(launch)
        assert caught.value.cause is PluginCause.LATE
        assert runtime.plugins() == []
