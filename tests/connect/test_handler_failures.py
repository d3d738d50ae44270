"""A handler that fails ends its call with `internal`, and is told of once in the log; nothing else ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from echo.v1.echo_connect import EchoClient, EchoService
from echo.v1.echo_pb2 import ChatRequest, CountRequest, SayRequest, SayResponse, SumRequest

from links import linked
from plugmux.connect import App, Code, Context, Interceptor, RpcError


class Panic(BaseException):
    """As extension modules raise: no `Exception`."""


def group() -> BaseException:
    return BaseExceptionGroup("two", [Panic("one"), ValueError("other")])


FAILURES: list[Callable[[], BaseException]] = [
    lambda: ZeroDivisionError("by zero"),
    lambda: Panic("index out of bounds"),
    lambda: StopIteration("nothing there"),
    lambda: RecursionError("too deep"),
    lambda: RpcError("internal", 3),  # type: ignore[arg-type]  # neither is of its type
    asyncio.CancelledError,
    group,
]


def fail(how: int) -> None:
    raise FAILURES[how]()


class InCoroutines(EchoService):
    """Every method is `async`."""

    def __init__(self, how: int) -> None:
        self.how = how

    async def say(self, request: SayRequest, context: Context) -> SayResponse:
        if request.text == "alive":
            return SayResponse(text="alive")
        fail(self.how)
        raise AssertionError

    async def count(self, request: CountRequest, context: Context) -> AsyncIterator[Any]:
        fail(self.how)
        yield

    async def sum(self, requests: AsyncIterator[SumRequest], context: Context) -> Any:
        fail(self.how)

    async def chat(self, requests: AsyncIterator[ChatRequest], context: Context) -> AsyncIterator[Any]:
        async for _ in requests:
            fail(self.how)
        yield


class InThreads(EchoService):
    """No method is."""

    def __init__(self, how: int) -> None:
        self.how = how

    def say(self, request: SayRequest, context: Context) -> SayResponse:
        if request.text == "alive":
            return SayResponse(text="alive")
        fail(self.how)
        raise AssertionError

    def count(self, request: CountRequest, context: Context) -> Iterator[Any]:
        fail(self.how)
        yield

    def sum(self, requests: Iterator[SumRequest], context: Context) -> Any:
        fail(self.how)

    def chat(self, requests: Iterator[ChatRequest], context: Context) -> Iterator[Any]:
        for _ in requests:
            fail(self.how)
        yield


class Answering(EchoService):
    """Answers, but for the interceptor before it."""

    async def say(self, request: SayRequest, context: Context) -> SayResponse:
        return SayResponse(text="alive")


class Intercepting(Interceptor):
    """Fails every call but one."""

    def __init__(self, how: int) -> None:
        self.how = how

    async def unary(self, request: Any, context: Context, next: Any) -> Any:
        if request.text != "alive":
            fail(self.how)
        return await next(request, context)

    def stream(self, requests: Any, context: Context, next: Any) -> Any:
        fail(self.how)


async def say(client: EchoClient) -> None:
    await client.say(SayRequest(text="x"))


async def count(client: EchoClient) -> None:
    async for _ in client.count(CountRequest()):
        pass


async def add(client: EchoClient) -> None:
    await client.sum([SumRequest()])


async def chat(client: EchoClient) -> None:
    async with client.chat() as call:
        await call.send(ChatRequest())
        await call.close_send()
        async for _ in call:
            pass


def app_of(kind: str, how: int) -> App:
    if kind == "interceptor":
        return App([Answering()], interceptors=[Intercepting(how)])
    return App([InCoroutines(how) if kind == "async" else InThreads(how)])


@pytest.mark.parametrize(
    "how", range(len(FAILURES)), ids=["exception", "panic", "stop", "recursion", "odd", "cancelled", "group"]
)
@pytest.mark.parametrize("kind", ["async", "plain", "interceptor"])
@pytest.mark.parametrize("call", [say, count, add, chat])
async def test_a_failure_is_internal_and_logged_once(
    call: Any, kind: str, how: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with linked(app_of(kind, how)) as transport:
        client = EchoClient(transport)
        with pytest.raises(RpcError) as caught:
            await call(client)
        assert (caught.value.code, caught.value.message) == (
            Code.INTERNAL,
            "the handler failed; the server's log says why",
        )
        assert (await client.say(SayRequest(text="alive"))).text == "alive"
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "plugmux.connect")
    assert record.exc_info


class Inner(EchoService):
    async def say(self, request: SayRequest, context: Context) -> SayResponse:
        raise RpcError(Code.NOT_FOUND, "nothing of that name", metadata={"reason": "typo"})


class Relaying(EchoService):
    """Lets the errors of the calls that it makes be those of its own."""

    def __init__(self, inner: EchoClient) -> None:
        self.inner = inner

    async def say(self, request: SayRequest, context: Context) -> SayResponse:
        return await self.inner.say(request)

    async def count(self, request: CountRequest, context: Context) -> AsyncIterator[Any]:
        await self.inner.say(SayRequest())
        yield


async def test_a_handler_may_raise_the_error_of_a_call_that_it_has_made() -> None:
    async with linked(App([Inner()])) as inner, linked(App([Relaying(EchoClient(inner))])) as outer:
        client = EchoClient(outer)
        with pytest.raises(RpcError) as caught:
            await client.say(SayRequest())
        with pytest.raises(RpcError) as streamed:
            await anext(aiter(client.count(CountRequest())))
    for error in (caught.value, streamed.value):
        assert (error.code, error.message, error.metadata["reason"]) == (Code.NOT_FOUND, "nothing of that name", "typo")
