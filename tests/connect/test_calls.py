"""Calls of every kind, between our client and our app, by both entries."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from echo.v1.echo_connect import EchoClient, EchoService
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

from memory import MemoryTransport
from plugmux.connect import App, Code, Context, ErrorDetail, RpcError, RpcLimits


class Echo(EchoService):
    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()

    async def say(self, request: SayRequest, context: Context) -> SayResponse:
        match request.text:
            case "missing":
                raise RpcError(
                    Code.NOT_FOUND,
                    "nothing there",
                    [SayRequest(text="detail")],
                    [("x-why", "because"), ("x-bin", b"\x00")],
                )
            case "broken":
                raise RuntimeError("a private text")
            case "sleep":
                await self.sleep()
            case "wrong type":
                return SayRequest()  # type: ignore[return-value]  # the wrong message
            case "headers":
                context.response_headers["x-answer"] = str(context.request_headers["x-ask"])
                context.response_trailers["x-after"] = "all"
            case "time":
                return SayResponse(text=str(context.time_left))
        return SayResponse(text=request.text)

    async def sleep(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def count(self, request: CountRequest, context: Context) -> AsyncIterator[CountResponse]:
        context.response_headers["x-count"] = "begins"
        try:
            for number in range(1, request.to + 1):
                yield CountResponse(number=number)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise
        context.response_trailers["x-count"] = "ends"
        if request.to < 0:
            raise RpcError(Code.OUT_OF_RANGE, "below zero")
        if request.to == 1000:
            await self.sleep()

    async def sum(self, requests: AsyncIterator[SumRequest], context: Context) -> SumResponse:
        return SumResponse(sum=sum([request.number async for request in requests]))

    async def chat(self, requests: AsyncIterator[ChatRequest], context: Context) -> AsyncIterator[ChatResponse]:
        async for request in requests:
            if request.text == "sleep":
                await self.sleep()
            yield ChatResponse(text=request.text.upper())


class Threads(EchoService):
    """The same in plain functions."""

    def say(self, request: SayRequest, context: Context) -> SayResponse:
        return SayResponse(text=request.text)

    def count(self, request: CountRequest, context: Context) -> Iterator[CountResponse]:
        for number in range(1, request.to + 1):
            yield CountResponse(number=number)

    def sum(self, requests: Iterator[SumRequest], context: Context) -> SumResponse:
        return SumResponse(sum=sum(request.number for request in requests))

    def chat(self, requests: Iterator[ChatRequest], context: Context) -> Iterator[ChatResponse]:
        for request in requests:
            yield ChatResponse(text=request.text.upper())


@pytest.fixture(params=["fast path", "asgi"])
def transport(request: pytest.FixtureRequest) -> MemoryTransport:
    return MemoryTransport(App([Echo()]), fast=request.param == "fast path")


@pytest.fixture
def service(transport: MemoryTransport) -> Any:
    return transport.app.services[0]


@pytest.fixture(params=["proto", "json"])
def client(request: pytest.FixtureRequest, transport: MemoryTransport) -> EchoClient:
    return EchoClient(transport, codec=request.param)


async def test_a_unary_call_is_answered(client: EchoClient) -> None:
    assert (await client.say(SayRequest(text="hello"))).text == "hello"


async def test_a_server_stream_gives_every_message_in_order(client: EchoClient) -> None:
    assert [reply.number async for reply in client.count(CountRequest(to=50))] == list(range(1, 51))
    async with client.count(CountRequest(to=3)) as stream:
        assert [reply.number async for reply in stream] == [1, 2, 3]
        assert stream.response_headers["x-count"] == "begins"
        assert stream.response_trailers["x-count"] == "ends"


async def test_a_client_stream_takes_messages_of_either_kind_of_iterable(client: EchoClient) -> None:
    async def numbers() -> AsyncIterator[SumRequest]:
        for number in range(10):
            yield SumRequest(number=number)

    assert (await client.sum(numbers())).sum == 45
    assert (await client.sum(SumRequest(number=number) for number in range(10))).sum == 45


async def test_a_bidirectional_stream_is_full_duplex(client: EchoClient) -> None:
    async with client.chat() as call:
        for text in ("one", "two", "three"):
            await call.send(ChatRequest(text=text))
            assert (await anext(call)).text == text.upper()
        await call.close_send()
        assert [reply async for reply in call] == []


@pytest.mark.parametrize("codec", ["proto", "json"])
@pytest.mark.parametrize("fast", [True, False])
async def test_plain_functions_serve_in_threads(codec: str, fast: bool) -> None:
    client = EchoClient(MemoryTransport(App([Threads()]), fast=fast), codec=codec)
    assert (await client.say(SayRequest(text="hello"))).text == "hello"
    assert [reply.number async for reply in client.count(CountRequest(to=5))] == [1, 2, 3, 4, 5]
    assert (await client.sum(SumRequest(number=number) for number in range(10))).sum == 45
    async with client.chat() as call:
        await call.send(ChatRequest(text="a"))
        assert (await anext(call)).text == "A"
        await call.close_send()
        assert [reply async for reply in call] == []


async def test_an_error_arrives_with_code_message_details_and_metadata(client: EchoClient) -> None:
    with pytest.raises(RpcError) as caught:
        await client.say(SayRequest(text="missing"))
    error = caught.value
    assert (error.code, error.message) == (Code.NOT_FOUND, "nothing there")
    assert error.detail(SayRequest) == SayRequest(text="detail")
    assert error.detail(SayResponse) is None
    assert (error.metadata["x-why"], error.metadata["x-bin"]) == ("because", b"\x00")


async def test_an_error_ends_a_stream(client: EchoClient) -> None:
    with pytest.raises(RpcError, match="out_of_range: below zero"):
        [reply async for reply in client.count(CountRequest(to=-1))]


@pytest.mark.parametrize("text", ["broken", "wrong type"])
async def test_an_unexpected_exception_is_internal_and_keeps_its_text(
    client: EchoClient, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RpcError) as caught:
        await client.say(SayRequest(text=text))
    assert caught.value.code is Code.INTERNAL
    assert "private" not in str(caught.value)
    assert caplog.records[0].exc_info


async def test_headers_and_trailers_reach_the_handler_and_the_caller(client: EchoClient) -> None:
    context = Context()
    await client.say(SayRequest(text="headers"), headers={"X-Ask": "what"}, context=context)
    assert context.response_headers["x-answer"] == "what"
    assert context.response_trailers["x-after"] == "all"


async def test_a_deadline_cancels_the_handler(client: EchoClient, service: Echo) -> None:
    while not service.started.is_set():  # On a busy machine the time may be over before the handler has begun.
        with pytest.raises(RpcError) as caught:
            await client.say(SayRequest(text="sleep"), timeout=0.2)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
    await service.cancelled.wait()


async def test_a_handler_sees_the_time_left(client: EchoClient) -> None:
    assert 0 < float((await client.say(SayRequest(text="time"), timeout=5)).text) <= 5
    assert (await client.say(SayRequest(text="time"))).text == "None"


async def test_a_deadline_ends_a_stream(client: EchoClient, service: Echo) -> None:
    timeout = 0.1
    while not service.started.is_set():  # On a busy machine the time may be over before the handler has begun.
        timeout *= 2
        with pytest.raises(RpcError) as caught:
            [reply async for reply in client.count(CountRequest(to=1000), timeout=timeout)]
        assert caught.value.code is Code.DEADLINE_EXCEEDED
    await service.cancelled.wait()


async def test_cancelling_the_caller_cancels_the_handler(client: EchoClient, service: Echo) -> None:
    call = asyncio.ensure_future(client.say(SayRequest(text="sleep")))
    await service.started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await service.cancelled.wait()


async def test_leaving_a_stream_early_cancels_the_handler(client: EchoClient, service: Echo) -> None:
    async with client.chat() as call:
        await call.send(ChatRequest(text="sleep"))
        await service.started.wait()
    await service.cancelled.wait()


async def test_breaking_out_of_a_bare_async_for_cancels_the_handler(client: EchoClient, service: Echo) -> None:
    async for reply in client.count(CountRequest(to=1000)):
        if reply.number == 1000:
            break
    await service.cancelled.wait()


LONG = "x" * 200


async def chat(client: EchoClient) -> None:
    async with client.chat() as call:
        await call.send(ChatRequest(text=LONG))
        await call.close_send()
        assert [reply.text async for reply in call] == [LONG.upper()]


async def say(client: EchoClient) -> None:
    await client.say(SayRequest(text=LONG))


@pytest.mark.parametrize("call", [say, chat])
@pytest.mark.parametrize("setting", ["receive", "send"])
@pytest.mark.parametrize("end", ["client", "server"])
async def test_a_message_over_the_limit_names_the_size_the_limit_and_the_setting(
    transport: MemoryTransport, call: Any, setting: str, end: str
) -> None:
    limits = {end: RpcLimits(**{setting: 100})}
    small = MemoryTransport(App([Echo()], limits=limits.get("server")), fast=transport.is_fast)
    with pytest.raises(RpcError) as caught:
        await call(EchoClient(small, limits=limits.get("client")))
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    size = int(caught.value.message.removeprefix("the message has ").partition(" ")[0])
    assert 100 < size <= 203
    assert caught.value.message.endswith(f"over the limit of 100 bytes set by RpcLimits.{setting}")
    assert caught.value.sent is not (end == "client" and setting == "send")


def test_limits_are_finite_by_default() -> None:
    assert (RpcLimits().receive, RpcLimits().send) == (4 << 20, 4 << 20)


async def test_a_call_says_its_protocol_and_who_makes_it(transport: MemoryTransport) -> None:
    client = EchoClient(transport)
    await client.say(SayRequest())
    await client.sum([])
    for request in transport.requests:
        fields = dict(request.headers)
        assert fields[b"connect-protocol-version"] == b"1"
        assert fields[b"user-agent"].startswith(b"plugmux-python/")


async def test_a_plain_function_does_not_run_in_the_event_loops_thread() -> None:
    class Where(EchoService):
        def say(self, request: SayRequest, context: Context) -> SayResponse:
            return SayResponse(text=str(threading.get_ident()))

        def count(self, request: CountRequest, context: Context) -> Iterator[CountResponse]:
            yield CountResponse(number=int(threading.get_ident() == loop_thread))

    loop_thread = threading.get_ident()
    client = EchoClient(MemoryTransport(App([Where()])))
    assert (await client.say(SayRequest())).text != str(loop_thread)
    assert [reply.number async for reply in client.count(CountRequest())] == [0]


async def test_an_unexpected_exception_ends_a_stream_as_internal(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(EchoService):
        async def count(self, request: CountRequest, context: Context) -> AsyncIterator[CountResponse]:
            yield CountResponse(number=1)
            raise RuntimeError("a private text")

    with pytest.raises(RpcError) as caught:
        [reply async for reply in EchoClient(MemoryTransport(App([Broken()]))).count(CountRequest())]
    assert caught.value.code is Code.INTERNAL
    assert "private" not in str(caught.value)
    assert caplog.records[0].exc_info


async def test_details_go_into_and_come_out_of_googles_any() -> None:
    detail = ErrorDetail.pack(SayRequest(text="why"))
    assert detail.to_any().type_url == "type.googleapis.com/echo.v1.SayRequest"
    assert ErrorDetail.pack(detail.to_any()) == detail
    assert detail.unpack(SayRequest) == SayRequest(text="why")
    assert detail.unpack(SayResponse) is None


async def test_an_unimplemented_method_says_so() -> None:
    client = EchoClient(MemoryTransport(App([EchoService()])))
    with pytest.raises(RpcError, match=r"unimplemented: /echo\.v1\.EchoService/Say"):
        await client.say(SayRequest())
