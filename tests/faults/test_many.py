"""Many plugins in one runtime, a hundred by `make faults`: how they start, and what they cost while they do nothing."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, Policies, Runtime
from plugmux.runtime import State, supervisor
from support.resources import ProcessResources, cpu_seconds, resident_bytes
from support.scale import scaled
from support.tools import faulty_plugin
from support.ward import LANGUAGES

PLUGINS = scaled({"go": 92, "python": 4, "ts": 4}, {"go": 26, "python": 2, "ts": 2})
PARALLEL = 4
MEBIBYTE = 1 << 20
WINDOW = 3.0
WINDOWS = 6
IDLE_SHARE = scaled(0.02, 0.01)
"""Of a core, for a host and its plugins; half of it was seen, beside other tests."""


def test_there_are_as_many_as_said_in_all_languages() -> None:
    assert sum(PLUGINS.values()) == scaled(100, 30)
    assert PLUGINS.keys() == set(LANGUAGES)


async def test_many_plugins_start_a_few_at_a_time_take_little_memory_and_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "SLOT_TIME", 600.0)  # A busy machine takes longer for a start.
    before = ProcessResources.take()
    launches = [
        Launch(faulty_plugin(language), name=f"{language}-{n}")
        for language, count in PLUGINS.items()
        for n in range(count)
    ]
    async with Runtime(
        [Launch(faulty_plugin("go"), name="first")], policies=Policies(parallel_starts=PARALLEL)
    ) as runtime:
        await ask_all(runtime)
        alone, most = resident_bytes(), 0
        starts = asyncio.gather(*(runtime.launch(launch) for launch in launches))
        while not starts.done():
            most = max(most, Counter(plugin.state for plugin in runtime.plugins())[State.REGISTERING])
            await asyncio.sleep(0.001)
        await starts
        await ask_all(runtime)
        gc.collect()
        assert 1 < most <= PARALLEL
        assert len(runtime.plugins()) == 1 + sum(PLUGINS.values())
        assert (resident_bytes() - alone) / len(launches) < MEBIBYTE
        assert await share_of_a_core(runtime) < IDLE_SHARE
    assert ProcessResources.take() == before


async def ask_all(runtime: Runtime) -> None:
    """Call every plugin, as it is used; what it takes then it keeps."""
    for plugin in runtime.plugins():
        kv = runtime.client(KeyValueClient, plugin=plugin.name)
        assert (await kv.get(GetRequest(key="pid"))).value == str(plugin.pid).encode()


async def share_of_a_core(runtime: Runtime) -> float:
    """The processor time of the host and all its plugins while nobody calls, in seconds per second.

    What a plugin does once after its start, such as collecting garbage, is no part of it: the least of some windows.
    """
    pids = [os.getpid(), *(plugin.pid for plugin in runtime.plugins() if plugin.pid is not None)]
    assert len(pids) == 2 + sum(PLUGINS.values())
    shares = [1.0]
    while len(shares) <= WINDOWS and min(shares) >= IDLE_SHARE:
        before = sum(map(cpu_seconds, pids))
        await asyncio.sleep(WINDOW)  # the time that is measured
        shares.append((sum(map(cpu_seconds, pids)) - before) / WINDOW)
    return min(shares)
