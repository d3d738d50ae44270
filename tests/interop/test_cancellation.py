"""Time limits and cancellation reach the handlers of plugins in every language, and no link is the worse for them."""

from __future__ import annotations

import asyncio

import pytest
from kv.v1.kv_pb2 import GetRequest, WatchRequest

from plugmux.connect import Code, RpcError
from support.probe import Probe

pytestmark = pytest.mark.asyncio(loop_scope="module")  # The probe runs for all of them.


async def test_cancelling_the_caller_cancels_the_handler(probe: Probe) -> None:
    call = asyncio.ensure_future(probe.kv.get(GetRequest(key="wait")))
    assert await probe.heard() == "get begins"
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await probe.heard() == "get ends"


async def test_a_time_limit_cancels_the_handler(probe: Probe) -> None:
    with pytest.raises(RpcError) as caught:
        await probe.kv.get(GetRequest(key="wait"), timeout=0.5)
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert [await probe.heard(), await probe.heard()] == ["get begins", "get ends"]


async def test_a_time_limit_ends_a_stream_and_its_handler(probe: Probe) -> None:
    with pytest.raises(RpcError) as caught:
        [value async for value in probe.kv.watch(WatchRequest(key="wait"), timeout=0.5)]
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert [await probe.heard(), await probe.heard()] == ["watch begins", "watch ends"]


async def test_a_handler_sees_the_time_left(probe: Probe) -> None:
    reply = await probe.kv.get(GetRequest(key="time"), timeout=60)
    assert 0 < float(reply.value) <= 60_000
    assert (await probe.kv.get(GetRequest(key="time"))).value == b"none"


async def test_leaving_a_stream_that_waits_cancels_the_handler(probe: Probe) -> None:
    async with probe.kv.watch(WatchRequest(key="wait")) as stream:
        assert (await anext(stream)).value == b"first"
        assert await probe.heard() == "watch begins"
    assert await probe.heard() == "watch ends"


async def test_leaving_a_stream_that_never_ends_resets_it(probe: Probe) -> None:
    async with probe.kv.watch(WatchRequest(key="flood")) as stream:
        await anext(stream)
        await anext(stream)
    assert await probe.heard() == "flood ends"


async def test_cancelling_a_call_cancels_the_calls_that_its_handler_makes(probe: Probe) -> None:
    call = asyncio.ensure_future(probe.kv.get(GetRequest(key="forward")))
    assert await probe.heard() == "forward begins"
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await probe.heard() == "forward ends"
