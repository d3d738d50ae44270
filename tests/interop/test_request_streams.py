"""Streams of requests, one way and both ways at once, to plugins in each language and from them to their host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from sum.v1.sum_pb2 import RunningRequest, SumRequest

from plugmux.connect import Code, RpcError
from support.probe import Probe

pytestmark = pytest.mark.asyncio(loop_scope="module")  # The probe runs for all of them.

CHUNK = bytes(64 * 1024)


async def numbers(request: Callable[..., Any], count: int, order: str) -> AsyncIterator[Any]:
    for number in range(1, count + 1):
        yield request(number=number, order=order)


async def running(probe: Probe, requests: AsyncIterator[Any], **options: Any) -> list[int]:
    async with probe.sums.running(**options) as sums:

        async def send() -> None:
            async for request in requests:
                await sums.send(request)
            await sums.close_send()

        sending = asyncio.create_task(send())
        try:
            return [reply.sum async for reply in sums]
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("count", [0, 1, 1000])
async def test_no_request_one_and_many_are_answered(probe: Probe, count: int) -> None:
    reply = await probe.sums.sum(numbers(SumRequest, count, ""), timeout=60)
    assert reply.sum == count * (count + 1) // 2
    sums = await running(probe, numbers(RunningRequest, count, ""), timeout=60)
    assert sums == [n * (n + 1) // 2 for n in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 1000])
async def test_a_plugin_sends_requests_to_its_host(probe: Probe, count: int) -> None:
    reply = await probe.sums.sum(numbers(SumRequest, count, "forward"), timeout=60)
    assert reply.sum == -count * (count + 1) // 2
    sums = await running(probe, numbers(RunningRequest, count, "forward"), timeout=60)
    assert sums == [-n * (n + 1) // 2 for n in range(1, count + 1)]


@pytest.mark.parametrize("order", ["", "forward"])
async def test_each_answer_comes_before_the_next_request_goes(probe: Probe, order: str) -> None:
    async with probe.sums.running(timeout=60) as sums:
        for number in range(1, 101):
            await sums.send(RunningRequest(number=1, order=order))
            assert abs((await anext(sums)).sum) == number
        await sums.close_send()
        assert await anext(sums, None) is None


@pytest.mark.parametrize("order", ["", "forward"])
async def test_a_stream_of_8_mib_arrives_whole(probe: Probe, order: str) -> None:
    async def chunks() -> AsyncIterator[SumRequest]:
        for number in range(128):
            yield SumRequest(number=1, ballast=CHUNK, order="" if number else order)

    reply = await probe.sums.sum(chunks(), timeout=60)
    assert (abs(reply.sum), reply.ballast) == (128, 8 * 1024 * 1024)


async def test_a_refusal_reaches_a_caller_that_is_still_sending(probe: Probe) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[SumRequest]:
        nonlocal sent
        yield SumRequest(order="refuse")
        for _ in range(10_000):
            sent += 1
            yield SumRequest(ballast=CHUNK)

    with pytest.raises(RpcError, match="as it was told") as caught:
        await probe.sums.sum(chunks(), timeout=60)
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert sent < 10_000


async def test_a_refusal_ends_a_stream_both_ways(probe: Probe) -> None:
    with pytest.raises(RpcError, match="as it was told") as caught:
        await running(probe, numbers(RunningRequest, 10, "refuse"), timeout=60)
    assert caught.value.code is Code.FAILED_PRECONDITION


async def endless(request: Callable[..., Any]) -> AsyncIterator[Any]:
    yield request(order="wait")
    await asyncio.Event().wait()


STREAMS: list[tuple[str, Callable[..., Coroutine[Any, Any, Any]]]] = [
    ("sum", lambda probe, **options: probe.sums.sum(endless(SumRequest), **options)),
    ("running", lambda probe, **options: running(probe, endless(RunningRequest), **options)),
]


@pytest.mark.parametrize(("name", "call"), STREAMS, ids=["sum", "running"])
async def test_a_caller_that_leaves_between_two_requests_cancels_the_handler(
    probe: Probe, name: str, call: Callable[..., Coroutine[Any, Any, Any]]
) -> None:
    task = asyncio.create_task(call(probe))
    assert await probe.heard() == f"{name} begins"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await probe.heard() == f"{name} ends"


@pytest.mark.parametrize(("name", "call"), STREAMS, ids=["sum", "running"])
async def test_a_time_limit_ends_a_stream_of_requests(
    probe: Probe, name: str, call: Callable[..., Coroutine[Any, Any, Any]]
) -> None:
    with pytest.raises(RpcError) as caught:
        await call(probe, timeout=0.5)
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert [await probe.heard(), await probe.heard()] == [f"{name} begins", f"{name} ends"]
