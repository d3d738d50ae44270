"""What a client makes of a server that is down, wrong, or hostile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from echo.v1.echo_connect import EchoClient
from echo.v1.echo_pb2 import ChatRequest, CountRequest, SayRequest, SayResponse, SumRequest
from hypothesis import given
from hypothesis import strategies as st

from memory import MemoryTransport
from plugmux.connect import App, Code, Context, RpcError, RpcLimits
from plugmux.connect.envelope import COMPRESSED, END_STREAM, envelope
from plugmux.errors import BodyTooLarge, ConfigError, ExchangeError, SessionClosed, StreamClosed
from plugmux.exchange import Headers, Request, Response
from test_calls import Echo

PROTO: Headers = [(b"content-type", b"application/proto")]
STREAM: Headers = [(b"content-type", b"application/connect+proto")]
END = envelope(b"{}", END_STREAM)


class Canned:
    """A transport that answers always the same, or raises."""

    def __init__(self, answer: Any, *pieces: bytes, headers: Headers = STREAM) -> None:
        self.answer = answer
        self.pieces = pieces
        self.headers = headers
        self.status = 200
        self.closed = 0

    async def fetch(self, request: Request, limit: int) -> Response:
        if isinstance(self.answer, Exception):
            raise self.answer
        reply: Response = self.answer
        return reply

    async def send(self, request: Request) -> Canned:
        if isinstance(self.answer, Exception) and not self.pieces:
            raise self.answer
        return self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        if isinstance(self.answer, Exception):
            raise self.answer

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("error", "code", "sent"),
    [
        (ExchangeError("broke", sent=True), Code.UNAVAILABLE, True),
        (ExchangeError("refused", sent=False), Code.UNAVAILABLE, False),
        (SessionClosed("gone"), Code.UNAVAILABLE, False),
        (TimeoutError(), Code.DEADLINE_EXCEEDED, True),
        (BodyTooLarge(99, 10), Code.RESOURCE_EXHAUSTED, True),
    ],
)
async def test_what_was_never_sent_is_told_from_what_may_have_been_done(
    error: Exception, code: Code, sent: bool
) -> None:
    client = EchoClient(Canned(error))
    with pytest.raises(RpcError) as caught:
        await client.say(SayRequest())
    assert (caught.value.code, caught.value.sent, caught.value.__cause__) == (code, sent, error)
    with pytest.raises(RpcError) as caught:
        [reply async for reply in client.count(CountRequest())]
    assert (caught.value.code, caught.value.sent) == (code, sent)


async def test_a_stream_that_breaks_midway_is_unavailable() -> None:
    transport = Canned(ExchangeError("broke", sent=True), envelope(b"\x08\x01"))
    async with EchoClient(transport).count(CountRequest()) as stream:
        assert (await anext(stream)).number == 1
        with pytest.raises(RpcError, match="unavailable"):
            await anext(stream)
    assert transport.closed == 1


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Response(404, [], b""), Code.UNIMPLEMENTED),
        (Response(503, [(b"content-type", b"text/html")], b"<html>"), Code.UNAVAILABLE),
        (Response(418, [], b""), Code.UNKNOWN),
        (Response(400, [(b"content-type", b"application/json")], b'{"code": "aborted"}'), Code.ABORTED),
        (Response(401, [(b"content-type", b"application/json")], b'{"code": "new"}'), Code.UNAUTHENTICATED),
        (Response(500, [(b"content-type", b"application/json")], b"[" * 100_000), Code.UNKNOWN),
        (Response(500, [(b"content-type", b"application/json")], b"\xff"), Code.UNKNOWN),
        (Response(500, [(b"content-type", b"application/json")], b"[]"), Code.UNKNOWN),
        (Response(200, [(b"content-type", b"text/html")], b""), Code.UNKNOWN),
        (Response(200, [(b"content-type", b"application/json")], b"{}"), Code.INTERNAL),
        (Response(200, PROTO, b"\xff\xff"), Code.INTERNAL),
        (Response(200, [*PROTO, (b"content-encoding", b"lzma")], b""), Code.INTERNAL),
        (Response(200, [*PROTO, (b"content-encoding", b"gzip")], b"no gzip"), Code.INTERNAL),
    ],
)
async def test_a_response_that_is_not_of_the_protocol_is_an_error(reply: Response, code: Code) -> None:
    with pytest.raises(RpcError) as caught:
        await EchoClient(Canned(reply)).say(SayRequest())
    assert caught.value.code is code


async def test_odd_details_of_an_error_do_not_hide_it() -> None:
    for details in (b"1", b'[1, {"type": 5}, {"value": 7}, {"type": "a.B", "value": "!"}]', b'{"a": 1}'):
        body = b'{"code": "not_found", "message": 5, "details": ' + details + b"}"
        with pytest.raises(RpcError) as caught:
            await EchoClient(Canned(Response(404, [(b"content-type", b"application/json")], body))).say(SayRequest())
        assert (caught.value.code, caught.value.message) == (Code.NOT_FOUND, "")
        assert caught.value.detail(SayResponse) is None


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ([], Code.INTERNAL),
        ([envelope(b"")], Code.INTERNAL),
        ([END, END], Code.INTERNAL),
        ([END, envelope(b"")], Code.INTERNAL),
        ([END[:-1]], Code.INTERNAL),
        ([envelope(b"", 64), END], Code.INTERNAL),
        ([envelope(b"", COMPRESSED), END], Code.INTERNAL),
        ([envelope(b"\xff\xff"), END], Code.INTERNAL),
        ([envelope(b"x" * 101)], Code.RESOURCE_EXHAUSTED),
        ([envelope(b"no json", END_STREAM)], Code.INTERNAL),
        ([envelope(b"[]", END_STREAM)], Code.INTERNAL),
        ([envelope(b'{"error": {}}', END_STREAM)], Code.UNKNOWN),
        ([envelope(b'{"error": 5}', END_STREAM)], Code.UNKNOWN),
        ([envelope(b'{"error": {"code": "aborted"}, "metadata": 5}', END_STREAM)], Code.ABORTED),
        ([envelope(b'{"metadata": {"x": ["\\ud800"]}}', END_STREAM)], Code.INTERNAL),
        ([envelope(b'{"metadata": {"\\udfff": ["x"]}}', END_STREAM)], Code.INTERNAL),
    ],
)
async def test_a_stream_that_is_not_of_the_protocol_is_an_error(pieces: list[bytes], code: Code) -> None:
    transport = Canned(None, *pieces)
    with pytest.raises(RpcError) as caught:
        [reply async for reply in EchoClient(transport, limits=RpcLimits(receive=100)).count(CountRequest())]
    assert (caught.value.code, transport.closed) == (code, 1)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (b"application/connect+json", 200, Code.INTERNAL),
        (b"text/html", 200, Code.UNKNOWN),
        (b"text/html", 502, Code.UNAVAILABLE),
    ],
)
async def test_a_stream_with_another_head_is_an_error(kind: bytes, status: int, code: Code) -> None:
    transport = Canned(None, headers=[(b"content-type", kind)])
    transport.status = status
    with pytest.raises(RpcError) as caught:
        [reply async for reply in EchoClient(transport).count(CountRequest())]
    assert caught.value.code is code


@pytest.mark.parametrize("count", [0, 2])
async def test_a_client_stream_has_exactly_one_response(count: int) -> None:
    with pytest.raises(RpcError, match="exactly one"):
        await EchoClient(Canned(None, envelope(b"") * count + END)).sum([])


async def test_an_exception_of_the_callers_own_requests_comes_out_as_it_is() -> None:
    async def requests() -> AsyncIterator[SumRequest]:
        yield SumRequest()
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await EchoClient(MemoryTransport(App([Echo()]))).sum(requests())


async def test_a_message_of_another_type_is_refused_before_it_is_sent() -> None:
    client = EchoClient(MemoryTransport(App([Echo()])))
    with pytest.raises(TypeError, match="takes a SayRequest, not a SumRequest"):
        await client.say(SumRequest())  # type: ignore[arg-type]  # the wrong message
    with pytest.raises(TypeError, match="takes messages of CountRequest"):
        [reply async for reply in client.count(SumRequest())]  # type: ignore[arg-type]  # the wrong message


async def test_a_bidirectional_call_takes_no_messages_after_its_end() -> None:
    async with EchoClient(MemoryTransport(App([Echo()]))).chat() as call:
        await call.send(ChatRequest(text="x"))
        await call.close_send()
        await call.close_send()
        with pytest.raises(StreamClosed, match="close_send was called"):
            await call.send(ChatRequest())
        assert [reply.text async for reply in call] == ["X"]
    with pytest.raises(StreamClosed):
        await call.send(ChatRequest())
    async with EchoClient(Canned(Exception("never asked"), END)).chat() as call:
        await asyncio.sleep(0)
        with pytest.raises(StreamClosed, match="reading its responses raises the reason"):
            await call.send(ChatRequest())


async def test_a_timeout_of_nothing_fails_before_anything_is_sent() -> None:
    client = EchoClient(Canned(AssertionError("sent")))
    for call in (client.say(SayRequest(), timeout=0), client.sum([], timeout=-1)):
        with pytest.raises(RpcError) as caught:
            await call
        assert (caught.value.code, caught.value.sent) == (Code.DEADLINE_EXCEEDED, False)


def test_a_client_is_made_only_with_what_carries_calls_and_with_options_that_exist() -> None:
    class Link:
        transport = Canned(None)

    EchoClient(Link())
    for target in (object(), None, "http://localhost", Echo()):
        with pytest.raises(ConfigError, match="cannot carry calls"):
            EchoClient(target)
    with pytest.raises(ConfigError, match="'xml'"):
        EchoClient(Link(), codec="xml")
    with pytest.raises(ConfigError, match="'lzma'"):
        EchoClient(Link(), accept=["lzma"])


async def test_options_are_overridden_for_one_call() -> None:
    transport = MemoryTransport(App([Echo()]))
    client = EchoClient(transport, headers={"x-a": "1", "user-agent": "mine"})
    await client.using(codec="json").say(SayRequest(), headers={"x-b": "2"})
    fields = transport.requests[-1].headers
    assert {(b"content-type", b"application/json"), (b"x-a", b"1"), (b"x-b", b"2")} <= set(fields)
    assert [value for name, value in fields if name == b"user-agent"] == [b"mine"]
    await client.say(SayRequest(), headers={"user-agent": "other"})
    fields = transport.requests[-1].headers
    assert [value for name, value in fields if name == b"user-agent"] == [b"other"]


@given(
    st.integers(100, 599),
    st.lists(
        st.tuples(
            st.sampled_from([b"content-type", b"content-encoding", b"connect-content-encoding", b"trailer-x", b"x"]),
            st.sampled_from([b"application/proto", b"application/connect+proto", b"application/json", b"gzip", b"\xff"])
            | st.binary(max_size=10),
        )
    ),
    st.binary(max_size=200),
)
async def test_arbitrary_responses_give_a_message_or_an_rpc_error(status: int, headers: Any, body: bytes) -> None:
    transport = Canned(Response(status, headers, body), body, headers=headers)
    transport.status = status
    client = EchoClient(transport, timeout=30)
    for call in (client.say(SayRequest(), context=Context()), client.sum([])):
        with contextlib.suppress(RpcError):
            await call


@given(
    st.sampled_from(["Say", "Count", "Sum", "Chat", "None"]),
    st.sampled_from(["GET", "POST", "PUT"]),
    st.lists(
        st.tuples(
            st.sampled_from([b"content-type", b"content-encoding", b"connect-timeout-ms", b"accept-encoding", b"x"]),
            st.sampled_from([b"application/proto", b"application/connect+json", b"application/json", b"br", b"9000"])
            | st.binary(max_size=10),
        )
    ),
    st.sampled_from(["", "?message=%", "?encoding=json&message=%7B%7D&base64=1&%ff=%"]),
    st.binary(max_size=100),
    st.booleans(),
)
async def test_arbitrary_requests_are_answered(
    name: str, method: str, headers: Any, query: str, body: bytes, fast: bool
) -> None:
    transport = MemoryTransport(App([Echo()]), fast=fast)
    reply = await transport.fetch(Request(f"/echo.v1.EchoService/{name}{query}", headers, body, method), 1 << 20)
    assert 200 <= reply.status < 600
