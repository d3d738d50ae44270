"""Handlers written without `async`: none keeps its thread when its call has ended, and many wait at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from echo.v1.echo_connect import EchoClient, EchoService
from echo.v1.echo_pb2 import ChatRequest, ChatResponse, SayRequest, SayResponse, SumRequest, SumResponse

from links import linked
from plugmux.connect import App, Code, Context, RpcError, RpcLimits
from plugmux.connect.server import workers

FEW = 6


class Blocking(EchoService):
    """Sums and chats until the requests end, each in a thread."""

    limits = RpcLimits(threads=FEW)

    def __init__(self) -> None:
        self.begun = 0
        self.ended: list[BaseException | None] = []

    def say(self, request: SayRequest, context: Context) -> SayResponse:
        return SayResponse(text=request.text)

    def sum(self, requests: Iterator[SumRequest], context: Context) -> SumResponse:
        for _ in self._each(requests):
            pass
        return SumResponse()

    def chat(self, requests: Iterator[ChatRequest], context: Context) -> Iterator[ChatResponse]:
        for _ in self._each(requests):
            yield ChatResponse()

    def _each(self, requests: Iterator[Any]) -> Iterator[Any]:
        error: BaseException | None = None
        try:
            for request in requests:
                self.begun += 1
                yield request
        except BaseException as caught:
            error = caught
            raise
        finally:
            self.ended.append(error)


def blocked() -> int:
    """How many threads of the service there are."""
    return sum(thread.name == "plugmux: echo.v1.EchoService" for thread in threading.enumerate())


async def one_and_no_more() -> AsyncIterator[SumRequest]:
    yield SumRequest()
    await asyncio.Event().wait()


@pytest.mark.parametrize("kind", ["client stream", "bidi stream"])
async def test_no_thread_waits_for_a_caller_who_has_left(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE_TIME", 0.01)
    service = Blocking()
    async with linked(App([service])) as transport:
        client = EchoClient(transport)

        async def stream() -> None:
            if kind == "client stream":
                await client.sum(one_and_no_more())
            async with client.chat() as call:
                await call.send(ChatRequest())
                async for _ in call:
                    pass

        calls = [asyncio.create_task(stream()) for _ in range(FEW)]
        while service.begun < FEW:
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert (await client.say(SayRequest(text="on it goes"))).text == "on it goes"
        while len(service.ended) < FEW:
            await asyncio.sleep(0)
        while blocked():
            await asyncio.sleep(0)
    if kind == "client stream":  # What has not come to its end is not taken for a whole.
        assert {error.code for error in service.ended if isinstance(error, RpcError)} == {Code.CANCELED}


@pytest.mark.parametrize(("threads", "depth"), [(None, 30), (10, 10)])
async def test_handlers_that_call_one_another_have_a_thread_each(threads: int | None, depth: int) -> None:
    loop = asyncio.get_running_loop()

    class Nested(EchoService):
        limits = None if threads is None else RpcLimits(threads=threads)

        def say(self, request: SayRequest, context: Context) -> SayResponse:
            left = int(request.text)
            if not left:
                return SayResponse(text="at the bottom")
            call = client.say(SayRequest(text=str(left - 1)))
            return asyncio.run_coroutine_threadsafe(call, loop).result()

    async with linked(App([Nested()])) as transport:
        client = EchoClient(transport)
        assert (await client.say(SayRequest(text=str(depth - 1)))).text == "at the bottom"


async def test_the_log_says_that_a_handler_waits_for_a_thread(caplog: pytest.LogCaptureFixture) -> None:
    go_on = threading.Event()

    class Waiting(EchoService):
        limits = RpcLimits(threads=1)

        def say(self, request: SayRequest, context: Context) -> SayResponse:
            go_on.wait()
            return SayResponse()

    async with linked(App([Waiting()])) as transport:
        calls = [asyncio.create_task(EchoClient(transport).say(SayRequest())) for _ in range(4)]
        while not caplog.records:
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*calls)
    (record,) = caplog.records
    assert record.getMessage().startswith("a handler of echo.v1.EchoService waits for a thread: all 1 are taken")


def test_there_is_a_thread_at_least() -> None:
    with pytest.raises(ValueError, match=r"RpcLimits\.threads is 0"):
        RpcLimits(threads=0)
