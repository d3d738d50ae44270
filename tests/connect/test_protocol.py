"""What the app answers to requests as they stand on the wire, good and bad."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from echo.v1.echo_connect import EchoClient
from echo.v1.echo_pb2 import CountResponse, SayRequest, SayResponse, SumResponse

from memory import MemoryTransport
from plugmux.connect import App, Context, RpcError, RpcLimits
from plugmux.connect.envelope import COMPRESSED, END_STREAM, EnvelopeReader, envelope
from plugmux.errors import ConfigError
from plugmux.exchange import Request, RequestHead, Response
from test_calls import Echo, Threads

SAY, COUNT, SUM = (f"/echo.v1.EchoService/{name}" for name in ("Say", "Count", "Sum"))
PROTO, JSON = (b"content-type", b"application/proto"), (b"content-type", b"application/json")
STREAM = (b"content-type", b"application/connect+proto")
TOO_DEEP = b'{"newer": ' + b"[" * 101 + b"]" * 101 + b"}"


@pytest.fixture(params=[True, False], ids=["fast path", "asgi"])
def transport(request: pytest.FixtureRequest) -> MemoryTransport:
    return MemoryTransport(App([Echo()], limits=RpcLimits(receive=1000)), fast=request.param)


async def fetch(
    transport: MemoryTransport, path: str, *headers: tuple[bytes, bytes], body: bytes = b"", method: str = "POST"
) -> Response:
    return await transport.fetch(Request(path, headers, body, method), 1 << 20)


def end_of(reply: Response) -> dict[str, Any]:
    """The JSON of the message that ends a stream."""
    assert reply.status == 200
    flags, data = EnvelopeReader(1 << 20).feed(reply.body)[-1]
    assert flags == END_STREAM
    fields: dict[str, Any] = json.loads(data)
    return fields


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/echo.v1.EchoService/Nothing", "POST", [PROTO], 404),
        ("/", "POST", [PROTO], 404),
        (SAY, "PUT", [PROTO], 405),
        (COUNT, "GET", [], 405),
        (SAY, "POST", [], 415),
        (SAY, "POST", [(b"content-type", b"text/html")], 415),
        (SAY, "POST", [(b"content-type", b"application/json; charset=latin-1")], 415),
        (SAY, "POST", [STREAM], 415),
        (COUNT, "POST", [PROTO], 415),
    ],
)
async def test_what_is_no_call_is_refused_by_http_status(
    transport: MemoryTransport, path: str, method: str, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    reply = await fetch(transport, path, *headers, method=method)
    assert reply.status == status
    if status == 405:
        assert b"allow" in dict(reply.headers)
    if status == 415:
        assert b"accept-post" in dict(reply.headers)


@pytest.mark.parametrize(
    ("header", "body", "code"),
    [
        ((b"connect-timeout-ms", b"-1"), b"", "invalid_argument"),
        ((b"connect-timeout-ms", b"12345678901"), b"", "invalid_argument"),
        ((b"connect-timeout-ms", b"0"), b"", "deadline_exceeded"),
        ((b"connect-protocol-version", b"2"), b"", "invalid_argument"),
        ((b"content-encoding", b"lzma"), b"", "unimplemented"),
        ((b"content-encoding", b"gzip"), b"no gzip", "invalid_argument"),
        ((b"x-any", b"x"), b"\xff\xff\xff", "invalid_argument"),
        ((b"x-any", b"x"), b"x" * 1001, "resource_exhausted"),
    ],
)
async def test_a_wrong_unary_request_is_told_what_is_wrong(
    transport: MemoryTransport, header: tuple[bytes, bytes], body: bytes, code: str
) -> None:
    reply = await fetch(transport, SAY, PROTO, header, body=body)
    assert dict(reply.headers)[b"content-type"] == b"application/json"
    assert json.loads(reply.body)["code"] == code


@pytest.mark.parametrize(
    ("header", "body", "code"),
    [
        ((b"connect-timeout-ms", b"x"), envelope(b""), "invalid_argument"),
        ((b"connect-content-encoding", b"lzma"), envelope(b""), "unimplemented"),
        ((b"x-any", b"x"), b"", "unimplemented"),
        ((b"x-any", b"x"), envelope(b"") * 2, "unimplemented"),
        ((b"x-any", b"x"), envelope(b"")[:-1], "invalid_argument"),
        ((b"x-any", b"x"), envelope(b"") + b"\0", "invalid_argument"),
        ((b"x-any", b"x"), envelope(b"\xff\xff"), "invalid_argument"),
        ((b"x-any", b"x"), envelope(b"", COMPRESSED), "internal"),
        ((b"x-any", b"x"), envelope(b"", 128), "invalid_argument"),
        ((b"x-any", b"x"), envelope(b"x" * 1001), "resource_exhausted"),
        ((b"connect-content-encoding", b"gzip"), envelope(b"no gzip", COMPRESSED), "invalid_argument"),
    ],
)
async def test_a_wrong_stream_is_told_what_is_wrong(
    transport: MemoryTransport, header: tuple[bytes, bytes], body: bytes, code: str
) -> None:
    assert end_of(await fetch(transport, COUNT, STREAM, header, body=body))["error"]["code"] == code


async def test_json_is_taken_with_a_charset_and_with_fields_that_are_not_known(transport: MemoryTransport) -> None:
    kind = (b"content-type", b'Application/JSON; charset="UTF-8"')
    reply = await fetch(transport, SAY, kind, body=b'{"text": "x", "newer": {"a": [1]}}')
    assert (reply.status, json.loads(reply.body)) == (200, {"text": "x"})
    wrong = (b'{"text": 1}', b'{"text": {}}', b'{"text": ["x"]}', b'{"text": "x", "text": "y"}')
    for body in (b"", b"{", b"[]", b"\xff", *wrong, b"[" * 900, TOO_DEEP):
        assert json.loads((await fetch(transport, SAY, JSON, body=body)).body)["code"] == "invalid_argument"


async def test_a_method_without_side_effects_is_called_by_get(transport: MemoryTransport) -> None:
    message = urlsafe_b64encode(SayRequest(text="hé").SerializeToString()).decode().rstrip("=")
    reply = await fetch(transport, f"{SAY}?connect=v1&encoding=proto&base64=1&message={message}", method="GET")
    assert SayResponse.FromString(reply.body).text == "hé"
    reply = await fetch(transport, f"{SAY}?encoding=json&message=%7B%22text%22%3A%22x%22%7D", method="GET")
    assert json.loads(reply.body) == {"text": "x"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "invalid_argument"),
        ("encoding=proto", "invalid_argument"),
        ("encoding=xml&message=", "invalid_argument"),
        ("connect=v2&encoding=proto&message=", "invalid_argument"),
        ("encoding=proto&message=&compression=lzma", "unimplemented"),
        ("encoding=proto&message=%FF", "invalid_argument"),
        ("encoding=proto&message=" + "x" * 1001, "resource_exhausted"),
        ("encoding=proto&message=x&base64=1", "invalid_argument"),
        ("encoding=proto&message=CgJo!aQ&base64=1", "invalid_argument"),
        ("encoding=proto&message=Cg==JoaQ&base64=1", "invalid_argument"),
        ("encoding=proto&message=eHh4&base64=1&compression=gzip", "invalid_argument"),
    ],
)
async def test_a_wrong_query_is_told_what_is_wrong(transport: MemoryTransport, query: str, code: str) -> None:
    reply = await fetch(transport, f"{SAY}?{query}", method="GET")
    assert json.loads(reply.body)["code"] == code


async def test_a_client_calls_by_get_where_it_may_and_the_url_is_not_too_long(transport: MemoryTransport) -> None:
    client = EchoClient(transport, get=True, compression="gzip", compress_min=100)
    context = Context()
    for size, method in ((1, "GET"), (500, "GET"), (0, "GET")):
        text = "x" * size
        assert (await client.say(SayRequest(text=text), timeout=5, context=context)).text == text
        assert (transport.requests[-1].method, context.http_method) == (method, "GET")
    transport.app = App([Echo()])
    text = "".join(chr(33 + (i * i * 7919) % 90) for i in range(20_000))
    assert (await client.using(compression=None).say(SayRequest(text=text))).text == text
    assert (transport.requests[-1].method, context.http_method) == ("POST", "GET")
    await client.using(compression=None).say(SayRequest(text=text), context=context)
    assert context.http_method == "POST"
    with pytest.raises(RpcError, match=r"over the limit of 10 bytes set by RpcLimits\.send"):
        await client.using(limits=RpcLimits(send=10)).say(SayRequest(text="longer than that"))


async def test_an_app_below_a_path_finds_its_methods(transport: MemoryTransport) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not sent:
            sent.append(None)
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/below{SAY}",
        "root_path": "/below",
        "query_string": b"",
        "headers": [PROTO],
    }
    await transport.app(scope, receive, send)
    assert sent[1]["status"] == 200


async def test_the_app_takes_part_in_the_lifespan_and_refuses_websockets(transport: MemoryTransport) -> None:
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return next(events)

    async def send(event: Any) -> None:
        sent.append(event["type"])

    await transport.app({"type": "lifespan"}, receive, send)
    await transport.app({"type": "websocket"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


async def test_traceparent_is_passed_along_to_calls_made_while_serving() -> None:
    behind = MemoryTransport(App([Echo()]))

    class SocketApp(Echo):
        async def say(self, request: SayRequest, context: Context) -> SayResponse:
            return await EchoClient(behind).say(request)

        async def sum(self, requests: Any, context: Context) -> SumResponse:
            return await EchoClient(behind).sum(requests)

    client = EchoClient(MemoryTransport(App([SocketApp()])))
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    await client.say(SayRequest(), headers=trace)
    assert set(behind.requests[-1].headers) >= {(k.encode(), v.encode()) for k, v in trace.items()}
    await client.sum([], headers=trace)
    assert set(behind.requests[-1].headers) >= {(k.encode(), v.encode()) for k, v in trace.items()}
    await client.say(SayRequest())
    assert b"traceparent" not in dict(behind.requests[-1].headers)


def test_a_service_is_served_once_and_is_an_instance() -> None:
    with pytest.raises(ConfigError, match=r"two services are named echo\.v1\.EchoService"):
        App([Echo(), Threads()])
    with pytest.raises(ConfigError, match="not an instance"):
        App([EchoClient])  # type: ignore[list-item]  # no service


def test_limits_out_of_range_are_refused() -> None:
    for limits in ({"receive": 0}, {"send": 1 << 32}):
        with pytest.raises(ConfigError, match=f"RpcLimits.{next(iter(limits))}"):
            RpcLimits(**limits)


async def test_a_services_own_limits_go_before_the_apps() -> None:
    class Small(Echo):
        limits = RpcLimits(receive=10)

    reply = await fetch(MemoryTransport(App([Small()])), SAY, PROTO, body=b"x" * 11)
    assert json.loads(reply.body)["code"] == "resource_exhausted"


async def test_a_stream_is_framed_message_by_message(transport: MemoryTransport) -> None:
    reply = await fetch(transport, COUNT, STREAM, body=envelope(b"\x08\x02"))
    messages = EnvelopeReader(100).feed(reply.body)
    assert messages[:2] == [(0, CountResponse(number=n).SerializeToString()) for n in (1, 2)]
    assert end_of(reply) == {"metadata": {"x-count": ["ends"]}}


async def test_a_caller_that_has_gone_when_a_message_is_sent_is_no_failure_of_the_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = iter([{"type": "http.request", "body": envelope(b"\x08\x09"), "more_body": False}])

    async def receive() -> Any:
        if (event := next(events, None)) is None:
            await asyncio.Event().wait()
        return event

    async def send(event: Any) -> None:
        if event["type"] == "http.response.body":
            raise ConnectionResetError("gone")

    scope = {"type": "http", "method": "POST", "path": COUNT, "query_string": b"", "headers": [STREAM]}
    with pytest.raises(ConnectionResetError, match="gone"):
        await App([Echo()])(scope, receive, send)
    assert caplog.records == []


async def test_the_time_of_a_call_runs_from_its_head() -> None:
    body_has_come = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        async def later() -> Any:
            await body_has_come.wait()
            return await receive()

        await App([Echo()])(scope, later, send)

    timeout = (b"connect-timeout-ms", b"50")
    for path, kind in ((SAY, PROTO), (COUNT, STREAM)):
        reply = await fetch(MemoryTransport(slow, fast=False), path, kind, timeout, body=envelope(b""))
        told = json.loads(reply.body) if path == SAY else end_of(reply)["error"]
        assert told["code"] == "deadline_exceeded"


async def test_the_time_before_the_body_is_taken_off_a_call_by_the_fast_path() -> None:
    head = RequestHead("POST", SAY, b"", [PROTO, (b"connect-timeout-ms", b"1")])
    call = App([Echo()]).fast_path(head)
    assert call is not None
    assert call.deadline is not None
    loop = asyncio.get_running_loop()
    while loop.time() < call.deadline:
        await asyncio.sleep(0)
    assert json.loads((await call.complete(b"")).body)["code"] == "deadline_exceeded"
    assert json.loads(call.expired().body)["code"] == "deadline_exceeded"
