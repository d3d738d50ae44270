"""A clock that a test sets."""

from __future__ import annotations

import asyncio
import time

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import ConfigError, HealthPolicy, Plugin, Policies, RestartPolicy
from plugmux.connect import Code, RpcError
from plugmux.errors import StateError
from plugmux.runtime import State
from plugmux.testing import FakeClock, plugin_host
from support.kv_store import Store, kv_plugin


async def test_time_passes_when_the_test_says_so_and_in_order() -> None:
    order: list[str] = []

    async def sleep(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        order.append(f"{name} at {clock.time() - began:g}")

    with FakeClock() as clock:
        began = clock.time()
        async with asyncio.TaskGroup() as group:
            group.create_task(sleep(3600, "late"))
            group.create_task(sleep(60, "early"))
            await clock.advance(59)
            assert order == []
            await clock.advance(1)
            assert order == ["early at 60"]
            await clock.advance(3600)
    assert order == ["early at 60", "late at 3600"]


async def test_a_day_of_waiting_takes_no_real_time() -> None:
    with FakeClock() as clock:
        began = clock.time()
        await clock.run(asyncio.sleep(86_400))
        assert clock.time() - began == pytest.approx(86_400)


async def test_what_waits_for_nothing_is_told_instead_of_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugmux.testing.clock.PATIENCE", 0.01)
    with FakeClock() as clock, pytest.raises(StateError, match="nothing is left"):
        await clock.run(asyncio.Event().wait())


async def test_threads_are_waited_for() -> None:
    with FakeClock() as clock:
        assert await clock.run(asyncio.to_thread(lambda: 7)) == 7


async def test_cancelled_timers_do_not_fire_and_those_left_go_by_real_time() -> None:
    fired: list[str] = []
    loop = asyncio.get_running_loop()
    left = asyncio.Event()
    with FakeClock() as clock:
        loop.call_later(1, fired.append, "cancelled").cancel()
        loop.call_later(2, fired.append, "fired")
        await clock.advance(5)
        loop.call_later(0.01, left.set)
    assert fired == ["fired"]
    await left.wait()
    assert loop.time() <= time.monotonic() + 1


async def test_a_timer_that_is_set_again_for_a_rest_too_small_for_the_clock_comes_to_its_end() -> None:
    loop = asyncio.get_running_loop()
    with FakeClock() as clock:
        due = clock.time() + 30
        passed = asyncio.Event()

        def look() -> None:
            if loop.time() > due:
                passed.set()
            else:
                loop.call_later(1e-15, look)

        loop.call_later(30, look)
        await clock.run(passed.wait())


async def test_misuse_is_told() -> None:
    with FakeClock() as clock:
        with pytest.raises(StateError, match="in use already"):
            FakeClock().__enter__()
        with pytest.raises(ConfigError, match="-1 s"):
            await clock.advance(-1)
    with pytest.raises(StateError, match="not in use"):
        await clock.advance(1)


async def test_the_deadline_of_a_call_passes_on_the_clock() -> None:
    store = Store(a=b"1")
    store.slow = 3600
    with FakeClock() as clock:
        async with plugin_host(Plugin(store, name="kv")) as host:
            with pytest.raises(RpcError) as caught:
                await clock.run(host.client(KeyValueClient).get(GetRequest(key="a"), timeout=1800))
            assert caught.value.code is Code.DEADLINE_EXCEEDED


async def test_restarts_back_off_on_the_clock() -> None:
    restart = RestartPolicy(delay=600, longest_delay=600, jitter=0)
    with FakeClock() as clock:
        async with plugin_host(kv_plugin(a=b"1"), restart=restart) as host:
            host.faults.cut()
            await clock.advance(599)
            assert host.events[-1].state is State.BACKING_OFF
            await clock.advance(5)
            assert host.plugin.state is State.RUNNING


async def test_a_plugin_that_hears_nothing_is_found_to_hang_on_the_clock() -> None:
    with FakeClock() as clock:
        async with plugin_host(kv_plugin(), policies=Policies(health=HealthPolicy(interval=10, timeout=5))) as host:
            host.faults.drop("to_plugin")
            await clock.advance(300)
            assert host.plugin.error is not None
            await clock.settle()
