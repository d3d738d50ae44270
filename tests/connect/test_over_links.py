"""Calls over a mux link: everything at once, both ways, and other people's stubs."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from echo.v1.echo_connect import EchoClient
from echo.v1.echo_pb2 import (
    ChatRequest,
    ChatResponse,
    CountRequest,
    CountResponse,
    SayRequest,
    SayResponse,
    SumRequest,
    SumResponse,
)

from links import linked
from plugmux.connect import App, Code, Context, RpcError
from test_calls import Echo

HERE = Path(__file__).parent


@pytest.fixture
async def service() -> Echo:
    return Echo()


@pytest.fixture
async def client(service: Echo) -> AsyncIterator[EchoClient]:
    async with linked(App([service])) as transport:
        yield EchoClient(transport)


async def test_calls_of_every_kind_cross_the_link(client: EchoClient) -> None:
    assert (await client.say(SayRequest(text="x"), timeout=30)).text == "x"
    assert [reply.number async for reply in client.count(CountRequest(to=500))] == list(range(1, 501))
    assert (await client.sum(SumRequest(number=1) for _ in range(500))).sum == 500
    with pytest.raises(RpcError, match="not_found: nothing there"):
        await client.say(SayRequest(text="missing"))


async def test_many_calls_at_once_keep_apart(client: EchoClient) -> None:
    replies = await asyncio.gather(*(client.say(SayRequest(text=str(i))) for i in range(200)))
    assert [reply.text for reply in replies] == [str(i) for i in range(200)]


async def test_a_bidirectional_call_is_full_duplex_and_does_not_deadlock_when_both_sides_send_much(
    client: EchoClient,
) -> None:
    text, count = "x" * 100_000, 60

    async with client.chat() as call:
        await call.send(ChatRequest(text="first"))
        assert (await anext(call)).text == "FIRST"

        async def send() -> None:
            for _ in range(count):
                await call.send(ChatRequest(text=text))
            await call.close_send()

        sending = asyncio.ensure_future(send())
        assert [len(reply.text) async for reply in call] == [len(text)] * count
        await sending


async def test_cancelling_or_leaving_a_call_cancels_its_handler_and_spares_the_link(
    client: EchoClient, service: Echo
) -> None:
    call = asyncio.ensure_future(client.say(SayRequest(text="sleep")))
    await service.started.wait()
    call.cancel()
    await service.cancelled.wait()
    service.started.clear()
    service.cancelled.clear()
    async with client.chat() as chat:
        await chat.send(ChatRequest(text="sleep"))
        await service.started.wait()
    await service.cancelled.wait()
    with pytest.raises(RpcError) as caught:
        await client.say(SayRequest(text="sleep"), timeout=0.02)
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert (await client.say(SayRequest(text="alive"))).text == "alive"


async def test_a_handler_whose_caller_has_left_may_clean_up() -> None:
    started, cleaned = asyncio.Event(), asyncio.Event()

    class Tidy(Echo):
        async def chat(self, requests: AsyncIterator[ChatRequest], context: Context) -> AsyncIterator[ChatResponse]:
            try:
                async for _ in requests:
                    started.set()
                yield ChatResponse()
            finally:
                for _ in range(10):
                    await asyncio.sleep(0)
                cleaned.set()

    async with linked(App([Tidy()])) as transport, EchoClient(transport).chat() as call:
        await call.send(ChatRequest())
        await started.wait()
        await call.aclose()
        await cleaned.wait()


async def test_a_call_whose_link_goes_down_says_that_it_may_have_been_done(service: Echo) -> None:
    async with linked(App([service])) as transport:
        unary = asyncio.ensure_future(EchoClient(transport).say(SayRequest(text="sleep")))
        await service.started.wait()
        stream = EchoClient(transport).count(CountRequest(to=1000))
        assert (await anext(stream)).number == 1
    with pytest.raises(RpcError, match="the peer may have acted on it") as caught:
        await unary
    assert (caught.value.code, caught.value.sent) == (Code.UNAVAILABLE, True)
    with pytest.raises(RpcError) as caught:
        [reply async for reply in stream]
    assert (caught.value.code, caught.value.sent) == (Code.UNAVAILABLE, True)


async def test_a_link_that_has_ended_makes_calls_unavailable_and_tells_that_nothing_was_sent(service: Echo) -> None:
    async with linked(App([service])) as transport:
        client = EchoClient(transport)
        await client.say(SayRequest())
    with pytest.raises(RpcError) as caught:
        await client.say(SayRequest())
    assert (caught.value.code, caught.value.sent) == (Code.UNAVAILABLE, False)


class OfficialEcho:
    """A service as the official stubs want it."""

    async def say(self, request: Any, ctx: Any) -> Any:
        return SayResponse(text=request.text)

    async def count(self, request: Any, ctx: Any) -> AsyncIterator[Any]:
        for number in range(1, request.to + 1):
            yield CountResponse(number=number)

    async def sum(self, request: AsyncIterator[Any], ctx: Any) -> Any:
        return SumResponse(sum=sum([item.number async for item in request]))

    async def chat(self, request: AsyncIterator[Any], ctx: Any) -> AsyncIterator[Any]:
        async for item in request:
            yield ChatResponse(text=item.text.upper())


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stubs that the official generator makes of our test proto."""
    out = tmp_path / "official"
    out.mkdir()
    plugin = Path(sys.executable).parent / "protoc-gen-connectrpc"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE / 'proto'}", f"--python_out={out}"]
    options = [f"--plugin={plugin}", f"--connectrpc_out=protobuf=google:{out}", "echo/v1/echo.proto"]
    subprocess.run([*command, *options], check=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("official.echo.v1.echo_connect")


async def test_official_stubs_are_served_over_the_link(official: Any) -> None:
    async with linked(official.EchoServiceASGIApplication(OfficialEcho())) as transport:
        for codec in ("proto", "json"):
            client = EchoClient(transport, codec=codec)
            assert (await client.say(SayRequest(text="x"))).text == "x"
            assert [reply.number async for reply in client.count(CountRequest(to=3))] == [1, 2, 3]
            assert (await client.sum([SumRequest(number=2), SumRequest(number=3)])).sum == 5
            async with client.chat() as call:
                await call.send(ChatRequest(text="a"))
                await call.close_send()
                assert [reply.text async for reply in call] == ["A"]
