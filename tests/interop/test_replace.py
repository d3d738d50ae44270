"""Plugins in each language are replaced under load: no call fails."""

from __future__ import annotations

import asyncio
import os

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import PutRequest

from plugmux import Launch, PluginCause, PluginError, Runtime
from support.tools import LANGUAGES, example_plugin

CALLS_PER_SECOND = 200
MOST_IN_FLIGHT = 64
"""A plugin that answers fewer on a busy machine gets no more than it can answer in time."""


class Load:
    """Calls at a steady rate, each in a task of its own, as long as the block lasts."""

    def __init__(self, runtime: Runtime) -> None:
        self._kv = runtime.client(KeyValueClient)
        self._room = asyncio.Semaphore(MOST_IN_FLIGHT)
        self.calls: list[asyncio.Task[None]] = []

    async def _call(self) -> None:
        try:
            await self._kv.put(PutRequest(key="a", value=b"1"), timeout=30.0)
        finally:
            self._room.release()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self._room.acquire()
            self.calls.append(asyncio.create_task(self._call()))
            due += 1 / CALLS_PER_SECOND
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def __aenter__(self) -> Load:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await asyncio.gather(*self.calls)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_call_fails_while_a_plugin_is_replaced_under_load(language: str) -> None:
    launch = Launch(example_plugin(language), name="kv", timeout=30)
    async with Runtime([launch]) as runtime, Load(runtime) as load:
        pids = [runtime.plugin("kv").pid]
        for _ in range(2):
            before = len(load.calls)
            pids.append((await runtime.replace("kv")).pid)
            assert len(load.calls) > before
        assert len(set(pids)) == 3
        assert [pid for pid in pids if os.path.exists(f"/proc/{pid}")] == pids[-1:]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_new_version_that_does_not_register_is_rolled_back_under_load(language: str) -> None:
    async with Runtime([Launch(example_plugin(language), name="kv", timeout=30)]) as runtime, Load(runtime) as load:
        old = runtime.plugin("kv")
        with pytest.raises(PluginError, match="the old one stays") as caught:
            await runtime.replace("kv", Launch(["sleep", "3600"], timeout=0.5))
        assert caught.value.cause is PluginCause.LATE
        assert runtime.plugins() == [old]
        assert load.calls
