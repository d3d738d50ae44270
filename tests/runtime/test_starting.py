"""A plugin that starts slowly: it has a minute, its log says so, and the others do not wait for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, Policies, Runtime
from plugmux.contract.launch import COMPATIBLE_VARIABLE, VARIABLE
from plugmux.contract.registration import REGISTRATION_TIMEOUT
from plugmux.runtime import LogEntry, State, Timeouts, supervisor
from support.programs import KV_PLUGIN, kv_program, script

pytestmark = pytest.mark.usefixtures("watching")

SLEEP = Launch(["sleep", "3600"], name="slow")


def test_a_plugin_has_a_minute_to_register() -> None:
    assert Timeouts().registration == REGISTRATION_TIMEOUT == 60.0


@pytest.mark.parametrize("variable", [VARIABLE, COMPATIBLE_VARIABLE])
async def test_the_launch_configuration_tells_the_plugin_so(tmp_path: Path, variable: str) -> None:
    read = f"os.environ[{variable!r}].encode()"
    program = KV_PLUGIN.replace("str(os.getpid()).encode()", read)
    async with Runtime([script(tmp_path, "kv", program)]) as runtime:
        told = (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value
    assert json.loads(told)["timeout"] == 60_000_000_000


async def test_the_log_says_that_a_plugin_is_still_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STILL_STARTING", (0.01, 0.02, 0.03, 90.0))
    runtime = Runtime([SLEEP])
    starting_up = asyncio.create_task(runtime.start())
    while "slow" not in {plugin.name for plugin in runtime.plugins()}:
        await asyncio.sleep(0)
    lines = [line.message async for line in _first(runtime, 3)]
    assert [line.partition("within ")[2].partition(" s")[0] for line in lines] == ["0.01", "0.02", "0.03"]
    assert all("plugin 'slow' is still starting" in line and "has 60 s" in line for line in lines)
    await runtime.close()
    await asyncio.gather(starting_up, return_exceptions=True)


async def _first(runtime: Runtime, count: int) -> AsyncIterator[LogEntry]:
    async for line in runtime.follow_logs():
        yield line
        count -= 1
        if not count:
            return


async def test_a_plugin_that_never_registers_does_not_hold_the_next_one_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "SLOT_TIME", 0.01)
    runtime = Runtime([SLEEP, kv_program(tmp_path)], policies=Policies(parallel_starts=1))
    starting_up = asyncio.create_task(runtime.start())
    while not (kv := [plugin for plugin in runtime.plugins() if plugin.name == "kv"]):
        await asyncio.sleep(0)
    while kv[0].state is not State.RUNNING:
        await kv[0].changed()
    assert runtime.plugin("slow").state is State.REGISTERING
    await runtime.close()
    await asyncio.gather(starting_up, return_exceptions=True)
