"""Faults of a link: delay, loss, a slow reader, a cut; and the connection in memory that they act on."""

from __future__ import annotations

import asyncio
import sys

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import ConfigError, Launch
from plugmux.connect import Code, RpcError
from plugmux.errors import StateError
from plugmux.runtime import State
from plugmux.testing import FakeClock, LinkFaults, launch_plugin, plugin_host
from plugmux.testing.memory import connect_in_memory
from support.kv_store import Audit, kv_plugin
from support.tools import ROOT
from support.yamux_links import Recorder


async def test_a_delay_holds_each_way_and_ends_with_its_block() -> None:
    with FakeClock() as clock:
        async with plugin_host(kv_plugin(a=b"1")) as host:
            kv = host.client(KeyValueClient)
            with host.faults.delay(10):
                began = clock.time()
                await clock.run(kv.get(GetRequest(key="a")))
                assert clock.time() - began == pytest.approx(20, abs=0.1)
            began = clock.time()
            await clock.run(kv.get(GetRequest(key="a")))
            assert clock.time() - began < 1


async def test_a_cut_ends_calls_under_way_and_is_told() -> None:
    async with plugin_host(kv_plugin(a=b"1")) as host:
        with host.faults.slow_reader("to_host"):
            call = asyncio.create_task(host.client(KeyValueClient).get(GetRequest(key="a")))
            while not host.calls:
                await asyncio.sleep(0)
            host.faults.cut()
            with pytest.raises(RpcError) as caught:
                await call
        assert caught.value.code is Code.UNAVAILABLE
        while host.plugin.state is State.RUNNING:
            await host.plugin.changed()


async def test_what_is_dropped_never_arrives() -> None:
    with FakeClock() as clock:
        async with plugin_host(kv_plugin(a=b"1")) as host:
            host.faults.drop("to_host")
            with pytest.raises(RpcError) as caught:
                await clock.run(host.client(KeyValueClient).get(GetRequest(key="a"), timeout=5))
            assert caught.value.code is Code.DEADLINE_EXCEEDED
            host.faults.cut()
            await clock.advance(30)


async def test_a_slow_reader_holds_a_large_message_up_by_its_rate() -> None:
    with FakeClock() as clock:
        async with plugin_host(kv_plugin(), services=[Audit()]) as host:
            kv = host.client(KeyValueClient)
            began = clock.time()
            with host.faults.slow_reader("to_plugin", rate=1000):
                await clock.run(kv.put(PutRequest(key="a", value=bytes(100_000))))
            assert 100 <= clock.time() - began < 120


@pytest.mark.parametrize("wrong", [-1, float("inf"), float("nan")])
def test_settings_out_of_their_range_are_refused(wrong: float) -> None:
    with pytest.raises(ConfigError):
        LinkFaults().delay(wrong)
    with pytest.raises(ConfigError):
        LinkFaults().slow_reader(rate=wrong)
    with pytest.raises(ConfigError, match="to_plugin"):
        LinkFaults().drop("sideways")


async def test_a_connection_in_memory_keeps_order_and_ends_as_a_socket_does() -> None:
    left, right = Recorder(), Recorder()
    near, _ = connect_in_memory(left, right)
    for piece in (b"a", b"b" * 200_000, b"c"):
        near.write(piece)
    near.close()
    await right.lost
    assert right.data == b"a" + b"b" * 200_000 + b"c"
    assert right.told[-2:] == ["eof", "lost"]
    assert left.told[-1] == "lost"
    assert (left.error, right.error) == (None, None)


async def test_a_writer_is_paused_while_its_reader_has_stopped() -> None:
    faults = LinkFaults()
    left, right = Recorder(), Recorder()
    near, far = connect_in_memory(left, right, faults)
    far.pause_reading()
    near.write(bytes(200_000))
    assert left.told == ["made", "pause"]
    assert near.get_write_buffer_size() == 200_000
    far.resume_reading()
    while len(right.data) < 200_000:
        await asyncio.sleep(0)
    assert left.told == ["made", "pause", "resume"]
    faults.cut()
    assert isinstance(await left.lost or left.error, ConnectionResetError)
    assert isinstance(right.error, ConnectionResetError)


PROCESS = [sys.executable, str(ROOT / "examples/python-plugin/python-plugin")]


async def test_the_link_of_a_process_can_be_slow_and_recovers() -> None:
    async with launch_plugin(PROCESS) as host:
        kv = host.client(KeyValueClient)
        with host.faults.slow_reader("to_plugin"), pytest.raises(RpcError) as caught:
            await kv.put(PutRequest(key="a", value=b"1"), timeout=0.2)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        with host.faults.delay(0.01):
            await kv.put(PutRequest(key="b", value=bytes(300_000)), timeout=30.0)
            assert len((await kv.get(GetRequest(key="b"), timeout=30.0)).value) == 300_000


async def test_the_link_of_a_process_can_be_cut_and_its_process_ends() -> None:
    async with launch_plugin(PROCESS) as host:
        host.faults.cut()
        while host.plugin.state is not State.GAVE_UP:
            await host.plugin.changed()
        assert host.plugin.pid is None


async def test_what_a_process_is_sent_can_be_lost() -> None:
    async with launch_plugin(PROCESS) as host:
        host.faults.drop("to_plugin")
        with pytest.raises(RpcError) as caught:
            await host.client(KeyValueClient).get(GetRequest(key="a"), timeout=0.2)
        assert caught.value.code is Code.DEADLINE_EXCEEDED


async def test_faults_of_pipes_are_refused_and_not_ignored() -> None:
    async with launch_plugin(Launch(PROCESS, link="pipes")) as host:
        with pytest.raises(StateError, match="or a launch without runner= and link="):
            host.faults.cut()
