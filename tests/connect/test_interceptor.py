"""Code around calls, on either end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from echo.v1.echo_connect import EchoClient
from echo.v1.echo_pb2 import ChatRequest, CountRequest, SayRequest, SayResponse, SumRequest

from memory import MemoryTransport
from plugmux.connect import App, Code, Context, Interceptor, RpcError, StreamNext, UnaryNext
from plugmux.errors import ConfigError
from test_calls import Echo


class Note(Interceptor):
    """Notes what passes."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    async def unary(self, request: Any, context: Context, next: UnaryNext) -> Any:
        self.notes.append(f"{self.name} > {context.method.name}")
        reply = await next(request, context)
        self.notes.append(f"{self.name} <")
        return reply

    async def stream(self, requests: AsyncIterator[Any], context: Context, next: StreamNext) -> AsyncIterator[Any]:
        self.notes.append(f"{self.name} > {context.method.name}")
        try:
            async for reply in next(requests, context):
                yield reply
        finally:
            self.notes.append(f"{self.name} <")


@pytest.mark.parametrize("fast", [True, False])
async def test_interceptors_run_in_order_on_both_ends(fast: bool) -> None:
    notes: list[str] = []
    app = App([Echo()], interceptors=[Note("c", notes), Note("d", notes)])
    client = EchoClient(MemoryTransport(app, fast=fast), interceptors=[Note("a", notes), Note("b", notes)])
    calls = {"Say": client.say(SayRequest()), "Sum": client.sum([SumRequest(number=1)])}
    for name, call in calls.items():
        await call
        assert sorted(notes[:4]) == [f"{letter} > {name}" for letter in "abcd"]
        assert notes[:4] == sorted(notes[:4])
        assert sorted(notes[4:]) == [f"{letter} <" for letter in "abcd"]
        notes.clear()
    assert len([reply async for reply in client.count(CountRequest(to=3))]) == 3
    assert len(notes) == 8
    notes.clear()
    async with client.chat() as chat:
        await chat.send(ChatRequest(text="x"))
        assert (await anext(chat)).text == "X"
        await chat.close_send()
        assert [reply async for reply in chat] == []
    assert len(notes) == 8


class Auth(Interceptor):
    """Adds a token on the client, and asks for it on the server."""

    async def unary(self, request: Any, context: Context, next: UnaryNext) -> Any:
        if context.connection:
            if context.request_headers.get("authorization") != "Bearer token":
                raise RpcError(Code.UNAUTHENTICATED, "no token")
        else:
            context.request_headers["authorization"] = "Bearer token"
        return await next(request, context)


class Retry(Interceptor):
    def __init__(self) -> None:
        self.tries = 0

    async def unary(self, request: Any, context: Context, next: UnaryNext) -> Any:
        for _ in range(2):
            self.tries += 1
            try:
                return await next(request, context)
            except RpcError:
                continue
        self.tries += 1
        return SayResponse(text="given up")


async def test_an_interceptor_adds_headers_refuses_calls_and_calls_again() -> None:
    transport = MemoryTransport(App([Echo()], interceptors=[Auth()]), connection={"peer": "somebody"})
    with pytest.raises(RpcError, match="unauthenticated: no token"):
        await EchoClient(transport).say(SayRequest())
    assert (await EchoClient(transport, interceptors=[Auth()]).say(SayRequest(text="x"))).text == "x"
    retry = Retry()
    client = EchoClient(transport, interceptors=[retry], timeout=5)
    assert (await client.say(SayRequest())).text == "given up"
    assert retry.tries == 3


class NotOne:
    async def unary(self, request: Any, context: Context, next: UnaryNext) -> Any: ...


class Nothing(Interceptor):
    async def unnary(self, request: Any, context: Context, next: UnaryNext) -> Any: ...


class TooFew(Interceptor):
    async def unary(self, request: Any, context: Context) -> Any: ...  # type: ignore[override]  # the wrong signature


class TooMany(Interceptor):
    async def stream(self, requests: Any, context: Any, next: Any, more: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        yield


class Plain(Interceptor):
    def unary(self, request: Any, context: Context, next: UnaryNext) -> Any: ...


class Yields(Interceptor):
    async def unary(self, request: Any, context: Context, next: UnaryNext) -> Any:
        yield request


class Returns(Interceptor):
    async def stream(self, requests: Any, context: Context, next: StreamNext) -> Any: ...  # type: ignore[override]


@pytest.mark.parametrize(
    ("interceptor", "reason"),
    [
        (NotOne(), "not an instance of a subclass"),
        (Auth, "is a class"),
        (len, "not an instance"),
        (Nothing(), "overrides neither"),
        (Interceptor(), "overrides neither"),
        (TooFew(), r"`unary` does not take \(request, context, next\)"),
        (TooMany(), r"`stream` does not take \(requests, context, next\)"),
        (Plain(), "`unary` is not an `async def`"),
        (Yields(), "`unary` is not an `async def` without `yield`"),
        (Returns(), "without `yield`"),
    ],
)
def test_an_interceptor_of_the_wrong_shape_is_refused_when_it_is_installed(interceptor: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        App([Echo()], interceptors=[interceptor])
    with pytest.raises(ConfigError, match=reason):
        EchoClient(MemoryTransport(App([])), interceptors=[interceptor])
