"""When a plugin that ended by itself is started again, and after what delay."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, RestartPolicy, Runtime
from plugmux.connect import Code, RpcError
from plugmux.runtime import State
from support.programs import kv_program


async def delays(program: str, restart: RestartPolicy, crashes: int) -> list[str]:
    """Let a plugin crash several times, each time it runs, and return the delays that are told."""
    told = []
    async with Runtime([Launch([program], restart=restart)]) as runtime:
        plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        for _ in range(crashes):
            with pytest.raises(RpcError, match="exited with status 7"):
                await kv.get(GetRequest(key="exit"), timeout=120)
            while plugin.state is not State.BACKING_OFF:
                await plugin.changed()
            told += re.findall(r"starts again in (\S+) s", plugin.status)
    return told


@pytest.mark.parametrize(
    ("healthy_after", "expected"),
    [(60, ["0.1", "0.2", "0.3", "0.3"]), (0, ["0.1", "0.1", "0.1", "0.1"])],
    ids=["a short run", "a good run"],
)
async def test_delays_grow_with_short_runs_and_begin_anew_after_a_good_one(
    tmp_path: Path, healthy_after: float, expected: list[str]
) -> None:
    restart = RestartPolicy(delay=0.1, longest_delay=0.3, healthy_after=healthy_after, jitter=0)
    assert await delays(kv_program(tmp_path), restart, len(expected)) == expected


async def test_a_good_run_gives_all_tries_back(tmp_path: Path) -> None:
    restart = RestartPolicy(tries=1, delay=0.01, healthy_after=0)
    assert len(await delays(kv_program(tmp_path), restart, 3)) == 3


async def test_trying_ends_with_its_time(tmp_path: Path) -> None:
    restart = RestartPolicy(delay=0.01, time_limit=0)
    async with Runtime([Launch([kv_program(tmp_path)], restart=restart)]) as runtime:
        with pytest.raises(RpcError, match="exited with status 7"):
            await runtime.client(KeyValueClient).get(GetRequest(key="exit"))
        while runtime.plugin("kv").state is not State.GAVE_UP:
            await runtime.plugin("kv").changed()


async def test_a_signal_is_told_to_the_calls_in_flight(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        calls = [asyncio.create_task(kv.get(GetRequest(key="hang"))) for _ in range(3)]
        while plugin.in_flight < len(calls):
            await asyncio.sleep(0)
        assert plugin.pid is not None
        os.kill(plugin.pid, signal.SIGKILL)
        for call in calls:
            with pytest.raises(RpcError, match="plugin 'kv': it was ended by SIGKILL while it was serving") as caught:
                await call
            assert caught.value.code is Code.UNAVAILABLE


async def test_closing_does_not_wait_for_a_plugin_that_backs_off(tmp_path: Path) -> None:
    restart = RestartPolicy(delay=3600, longest_delay=3600)
    async with Runtime([Launch([kv_program(tmp_path)], restart=restart)]) as runtime:
        plugin = runtime.plugin("kv")
        with pytest.raises(RpcError, match="exited with status 7"):
            await runtime.client(KeyValueClient).get(GetRequest(key="exit"))
        while plugin.state is not State.BACKING_OFF:
            await plugin.changed()
    assert runtime.plugin("kv").state is State.STOPPED
