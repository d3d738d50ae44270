"""Arbitrary bytes where envelopes should be: an answer or one error, in bounded memory, and nothing worse."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from echo.v1.echo_connect import EchoClient
from echo.v1.echo_pb2 import ChatRequest, ChatResponse, CountRequest, CountResponse, SayRequest, SumRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from links import joined
from plugmux.connect import App, Context, RpcError, RpcLimits
from plugmux.connect.compression import NAMES, named
from plugmux.connect.envelope import END_STREAM, EnvelopeReader, envelope
from plugmux.exchange import Headers, Request
from plugmux.http import StreamClient
from test_calls import Echo

LIMIT = 100

MESSAGES = [
    message.SerializeToString() for message in (ChatRequest(text="hi"), SumRequest(number=3), CountRequest(to=2))
]
DATA = (
    st.binary(max_size=LIMIT + 20)
    | st.sampled_from([*MESSAGES, b"{}", b'{"text": "hi"}', b'{"error": {"code": "aborted"}}', b"[" * 90])
    | st.tuples(st.sampled_from(NAMES), st.sampled_from([*MESSAGES, bytes(100_000)])).map(
        lambda drawn: named(drawn[0]).compress(drawn[1])
    )
)
FLAGS = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 128]) | st.integers(0, 255)
WIRE = st.lists(st.tuples(FLAGS, DATA), max_size=6).map(
    lambda envelopes: b"".join(envelope(data, flags) for flags, data in envelopes)
) | st.binary(max_size=300)
CODEC = st.sampled_from(["proto", "json"])
ENCODING = st.sampled_from([*NAMES, "identity"])


@st.composite
def pieces(draw: st.DrawFn) -> list[bytes]:
    """Envelopes, good and bad, whole or cut short, in pieces of any size."""
    wire = draw(WIRE)
    wire = wire[: len(wire) - draw(st.sampled_from([0, 0, 0, 1, 7]))]
    cuts = sorted(draw(st.lists(st.integers(0, len(wire)), max_size=4)))
    return [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]


class Short(Echo):
    """Counts not to the end of the world."""

    async def count(self, request: CountRequest, context: Context) -> AsyncIterator[CountResponse]:
        for number in range(min(request.to, 5)):
            yield CountResponse(number=number)


@given(st.sampled_from(["Count", "Sum", "Chat"]), CODEC, ENCODING, pieces())
async def test_the_server_answers_any_stream_with_messages_and_one_end(
    method: str, codec: str, encoding: str, body: list[bytes]
) -> None:
    waiting = list(body)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(event: Any) -> None:
        sent.append(event)

    headers = [
        (b"content-type", b"application/connect+" + codec.encode()),
        (b"connect-content-encoding", encoding.encode()),
        (b"connect-accept-encoding", encoding.encode()),
    ]
    scope = {"type": "http", "method": "POST", "path": f"/echo.v1.EchoService/{method}", "headers": headers}
    async with asyncio.timeout(30):
        await App([Short()], limits=RpcLimits(receive=LIMIT))(scope, receive, send)
    assert sent[0]["status"] == 200
    assert [event["more_body"] for event in sent[1:]] == [True] * (len(sent) - 2) + [False]
    envelopes = EnvelopeReader(1 << 20).feed(b"".join(event["body"] for event in sent[1:]))
    assert [flags & END_STREAM for flags, _ in envelopes] == [0] * (len(envelopes) - 1) + [END_STREAM]
    assert set(json.loads(envelopes[-1][1])) <= {"error", "metadata"}


class Canned:
    """A transport that gives one response."""

    status = 200

    def __init__(self, headers: Headers, body: list[bytes]) -> None:
        self.headers = headers
        self.body = body
        self.is_closed = False

    async def fetch(self, request: Request, limit: int) -> Any:
        raise AssertionError("no unary call is made")

    async def send(self, request: Request) -> Canned:
        return self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.body:
            yield piece

    async def aclose(self) -> None:
        self.is_closed = True


@given(CODEC, ENCODING, pieces())
async def test_the_client_makes_messages_or_an_rpc_error_of_any_stream(
    codec: str, encoding: str, body: list[bytes]
) -> None:
    headers = [
        (b"content-type", b"application/connect+" + codec.encode()),
        (b"connect-content-encoding", encoding.encode()),
    ]
    transport = Canned(headers, body)
    client = EchoClient(transport, codec=codec, limits=RpcLimits(receive=LIMIT))
    async with asyncio.timeout(30):
        with contextlib.suppress(RpcError):
            async with client.chat() as call:
                async for reply in call:
                    assert isinstance(reply, ChatResponse)
        assert transport.is_closed
        with contextlib.suppress(RpcError):
            await client.sum([SumRequest()])


@settings(max_examples=40)
@given(st.sampled_from(["Say", "Count", "Sum", "Chat"]), CODEC, pieces(), st.booleans())
async def test_any_body_that_comes_over_a_link_spares_the_link(
    method: str, codec: str, body: list[bytes], ends: bool
) -> None:
    kind = codec if method == "Say" else f"connect+{codec}"
    head = f"POST /echo.v1.EchoService/{method} HTTP/1.1\r\nhost: unix\r\ncontent-type: application/{kind}\r\n"
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in body if piece)
    async with joined(App([Short()], limits=RpcLimits(receive=LIMIT))) as mux, asyncio.timeout(30):
        reader = asyncio.StreamReader()
        raw = mux.open(asyncio.StreamReaderProtocol(reader))
        raw.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode() + chunked + (b"0\r\n\r\n" if ends else b""))
        if ends:
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 ")
        raw.abort()
        assert (await EchoClient(StreamClient(mux.open)).say(SayRequest(text="alive"))).text == "alive"


async def test_what_a_handler_does_not_read_is_not_held() -> None:
    taken = 0
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        await asyncio.sleep(0)
        return {"type": "http.request", "body": envelope(b"") * 1000, "more_body": True}

    class Deaf(Echo):
        async def chat(self, requests: Any, context: Context) -> AsyncIterator[ChatResponse]:
            for _ in range(1000):
                await asyncio.sleep(0)
            gone.set()
            yield ChatResponse()

    async def send(event: Any) -> None:
        assert taken < 20

    headers = [(b"content-type", b"application/connect+proto")]
    scope = {"type": "http", "method": "POST", "path": "/echo.v1.EchoService/Chat", "headers": headers}
    await App([Deaf()])(scope, receive, send)
    assert gone.is_set()
