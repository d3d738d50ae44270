"""What an ASGI app sees and may do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest

from plugmux.errors import PlugmuxError, StreamReset
from plugmux.http.lifespan import Lifespan
from support.http_peers import Harness, Wire, join

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def sends(*messages: dict[str, Any]) -> Callable[..., Any]:
    """An app that sends these messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


async def scope_of(harness: Harness, request: bytes, **connection: Any) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await send(start())
        await send(body(b"done"))

    wire = Wire()
    join(wire, harness.server(app).protocol(**connection))
    wire.send(request)
    await wire.until(b"done")
    return seen[0]


async def test_the_scope_says_what_was_asked(harness: Harness) -> None:
    request = b"get /a%20b/%C3%A9?c=%20&d HTTP/1.1\r\nHost: h:1\r\nX:  y\r\n\r\n"
    loop = asyncio.get_running_loop()
    before = loop.time()
    scope = await scope_of(harness, request, peer="me")
    began = scope["extensions"]["plugmux.began"]
    assert before <= began <= loop.time()
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b/é",
        "raw_path": b"/a%20b/%C3%A9",
        "query_string": b"c=%20&d",
        "root_path": "",
        "headers": [(b"host", b"h:1"), (b"x", b"y")],
        "client": None,
        "server": None,
        "extensions": {"plugmux.connection": {"peer": "me"}, "plugmux.began": began, "plugmux.hold": ANY},
    }


async def test_a_target_in_absolute_form_gives_its_path(harness: Harness) -> None:
    scope = await scope_of(harness, b"GET http://h:1/a/b?c HTTP/1.1\r\nHost: h:1\r\n\r\n")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a/b", b"/a/b", b"c")
    scope = await scope_of(harness, b"GET http://h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n")
    assert (scope["path"], scope["query_string"]) == ("/", b"")
    scope = await scope_of(harness, b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
    assert scope["path"] == "*"


@pytest.mark.parametrize(
    ("messages", "framing", "sent"),
    [
        ([start(), body(b"hello")], b"content-length: 5\r\n", b"hello"),
        ([start(), body()], b"content-length: 0\r\n", b""),
        (
            [start(200, (b"content-length", b"5")), body(b"he", more=True), body(b"llo")],
            b"content-length: 5\r\n",
            b"hello",
        ),
        (
            [start(), body(b"he", more=True), body(b"llo")],
            b"transfer-encoding: chunked\r\n",
            b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        ),
        (
            [start(), body(more=True), body(b"hi", more=True), body()],
            b"transfer-encoding: chunked\r\n",
            b"2\r\nhi\r\n0\r\n\r\n",
        ),
        (
            [start(), *(body(piece, more=True) for piece in (b"he", b"l", b"lo")), body()],
            b"transfer-encoding: chunked\r\n",
            b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        ),
        ([start(200, (b"Transfer-Encoding", b"chunked")), body(b"hi")], b"content-length: 2\r\n", b"hi"),
        ([start(204), body()], b"", b""),
        ([start(304), body()], b"", b""),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_a_response_is_framed_by_what_the_app_sends(
    harness: Harness, messages: list[dict[str, Any]], framing: bytes, sent: bytes, method: bytes
) -> None:
    wire = harness.wire(sends(*messages))
    wire.send(GET.replace(b"GET", method))
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    got = re.sub(rb"date: .*?\r\n", b"", await wire.until_end())
    first, second = re.findall(rb"HTTP/1.1 .*?(?=HTTP|\Z)", got, re.DOTALL)
    assert first.partition(b"\r\n\r\n")[2] == (sent if method == b"GET" else b"")
    if method == b"GET" or sent == b"hello":
        assert first.partition(b"\r\n")[2].startswith(framing)
    assert second.partition(b"\r\n\r\n")[2] == sent


async def test_a_caller_of_http_1_0_reads_a_body_of_unknown_length_to_the_end(harness: Harness) -> None:
    wire = harness.wire(sends(start(), body(b"he", more=True), body(b"llo")))
    wire.send(b"GET / HTTP/1.0\r\n\r\n")
    head, _, got = (await wire.until_end()).partition(b"\r\n\r\n")
    assert got == b"hello"
    assert head.endswith(b"connection: close")
    assert b"transfer-encoding" not in head


async def test_an_app_may_have_the_connection_closed(harness: Harness) -> None:
    wire = harness.wire(sends(start(200, (b"connection", b"close")), body(b"hello")))
    wire.send(GET)
    assert (await wire.until_end()).count(b"connection: close\r\n") == 1


async def test_a_date_of_the_app_is_left_as_it_is(harness: Harness) -> None:
    wire = harness.wire(sends(start(200, (b"date", b"today")), body(b"hello")))
    wire.send(GET)
    assert re.findall(rb"date: (.*)\r\n", await wire.until(b"hello")) == [b"today"]


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([body(b"hello")], "RuntimeError: the app sent 'http.response.body' in state NOTHING"),
        ([start(), start()], "RuntimeError: the app sent 'http.response.start' in state STARTED"),
        ([{"type": "http.response.unknown"}], "RuntimeError: the app sent 'http.response.unknown' in state NOTHING"),
        ([start(101)], "RuntimeError: the app started a response with status 101"),
        ([start(600)], "RuntimeError: the app started a response with status 600"),
        ([start(200, (b"a", b"b\r\nc: d"))], "ConfigError: the header field b'a' cannot be sent"),
        ([start(200, (b"content-length", b"4")), body(b"hello")], "RuntimeError: the response's body"),
        ([start(200, (b"content-length", b"6")), body(b"hello")], "RuntimeError: the response's body"),
        ([start(200, (b"content-length", b"x")), body(b"hello")], "ValueError"),
        ([], "returned in state NOTHING, before its response was complete"),
        ([start()], "returned in state STARTED, before its response was complete"),
    ],
)
async def test_a_mistake_before_the_response_is_logged_and_told_as_500(
    harness: Harness, messages: list[dict[str, Any]], error: str, caplog: pytest.LogCaptureFixture
) -> None:
    wire = harness.wire(sends(*messages))
    wire.send(GET)
    assert (await wire.until(b"Error\n")).startswith(b"HTTP/1.1 500 ")
    assert error in caplog.text


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (
            [start(), body(b"hello", more=True), start()],
            "RuntimeError: the app sent 'http.response.start' in state BEGUN",
        ),
        ([start(), body(b"hello", more=True)], "returned in state BEGUN, before its response was complete"),
        (
            [start(200, (b"content-length", b"6")), body(b"hello", more=True), body()],
            "RuntimeError: the response's body",
        ),
        ([start(200, (b"content-length", b"6")), body(b"hello", more=True), body(b"hello")], "RuntimeError"),
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_mistake_within_the_response_breaks_the_connection_off(
    harness: Harness, messages: list[dict[str, Any]], error: str, version: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    wire = harness.wire(sends(*messages))
    wire.send(GET.replace(b"1.1", version))
    got = await wire.until_lost()
    assert isinstance(wire.error, ConnectionResetError)
    assert not got.endswith(b"0\r\n\r\n")
    assert error in caplog.text


async def test_a_mistake_behind_the_response_is_logged_and_harms_nobody(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    wire = harness.wire(sends(start(), body(b"hello"), body(b"more")))
    for _ in range(2):
        wire.send(GET)
        assert (await wire.until(b"hello")).startswith(b"HTTP/1.1 200 ")
    assert "RuntimeError: the app sent 'http.response.body' in state COMPLETE, where nothing more is" in caplog.text


async def test_the_body_comes_in_pieces_as_it_arrives_and_then_the_end_of_the_caller(harness: Harness) -> None:
    seen: list[Any] = []
    got = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            message = await receive()
            seen.append((message["body"], message["more_body"]))
            got.set()
        await send(start())
        await send(body(b"done"))
        seen.append(await receive())
        got.set()

    wire = harness.wire(app)
    for piece in (POST[:-3], b"ll", b"o"):
        got.clear()
        wire.send(piece)
        await got.wait()
    await wire.until(b"done")
    assert seen == [(b"he", True), (b"ll", True), (b"o", False), {"type": "http.disconnect"}]


async def test_an_empty_body_is_one_message(harness: Harness) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(repr(await receive()).encode()))

    wire = harness.wire(app)
    wire.send(GET)
    assert b"{'type': 'http.request', 'body': b'', 'more_body': False}" in await wire.until(b"}")


async def test_a_caller_that_goes_is_told_to_the_app_before_it_is_cancelled(harness: Harness) -> None:
    seen: list[Any] = []
    done = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(await receive())
            try:
                await send(start())
            except StreamReset as error:
                seen.append(isinstance(error, OSError))
            raise
        finally:
            done.set()

    wire = harness.wire(app)
    wire.send(GET)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    wire.transport.close()
    await done.wait()
    assert seen == [{"type": "http.disconnect"}, True]


async def test_work_behind_the_response_goes_on_when_the_caller_has_gone(harness: Harness) -> None:
    release, done = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"connection", b"close")))
        await send(body(b"hello"))
        await release.wait()
        done.set()

    wire = harness.wire(app)
    wire.send(GET)
    await wire.until_end()
    wire.transport.close()
    await wire.until_lost()
    release.set()
    await done.wait()


async def test_the_next_request_does_not_wait_for_work_behind_the_response(harness: Harness) -> None:
    release = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"hello"))
        await release.wait()

    wire = harness.wire(app)
    for _ in range(3):
        wire.send(GET)
        await wire.until(b"hello")
    release.set()


async def test_a_body_that_the_app_does_not_read_stops_being_read(harness: Harness) -> None:
    release = asyncio.Event()
    sizes: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        more = True
        while more:
            message = await receive()
            sizes.append(len(message["body"]))
            more = message["more_body"]
        await send(start())
        await send(body(b"done"))

    server = harness.server(app, buffer_bytes=10_000)
    wire = Wire()
    transport = join(wire, server.protocol(), step=4_000)
    wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not transport.peer.reading
    release.set()
    await wire.until(b"done")
    assert sum(sizes) == 100_000
    assert max(sizes) < 15_000


async def test_an_app_that_sends_more_than_the_caller_reads_waits(harness: Harness) -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send(start())
        for _ in range(100):
            await send(body(b"x" * 10_000, more=True))
            sent += 1
        await send(body())

    wire = harness.wire(app)
    wire.transport.pause_reading()
    wire.send(GET)
    for _ in range(200):
        await asyncio.sleep(0)
    assert sent < 20
    wire.transport.resume_reading()
    await wire.until(b"\r\n0\r\n\r\n")
    assert sent == 100


async def test_an_app_that_waits_for_a_slow_caller_is_cancelled_when_the_caller_goes(harness: Harness) -> None:
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(start())
            while True:
                await send(body(b"x" * 10_000, more=True))
        finally:
            ended.set()

    wire = harness.wire(app)
    wire.transport.pause_reading()
    wire.send(GET)
    await asyncio.sleep(0)
    wire.transport.abort()
    await ended.wait()


async def test_a_broken_body_is_400_unless_the_response_has_begun(harness: Harness) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/early":
            await send(start())
            await send(body(b"early", more=True))
        while True:
            await receive()

    for path, expected in ((b"/early", b"early\r\n"), (b"/late", b"Bad Request\n")):
        wire = harness.wire(app)
        wire.send(b"POST %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % path)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        wire.send(b"garbage\r\n")
        got = await wire.until_end()
        assert got.endswith(expected)
        assert isinstance(wire.error, ConnectionResetError) is (path == b"/early")


async def test_a_response_before_the_end_of_the_request_ends_the_connection_gently(harness: Harness) -> None:
    wire = harness.wire(sends(start(), body(b"no thanks")))
    wire.send(POST[:-5])
    assert (await wire.until_end()).endswith(b"no thanks")
    wire.send(b"hello")
    wire.transport.write_eof()
    wire.transport.close()
    await wire.until_lost()


async def test_the_lifespan_spans_the_server_and_its_state_reaches_every_request(harness: Harness) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            seen.append((await receive())["type"])
            scope["state"]["value"] = 42
            await send({"type": "lifespan.startup.complete"})
            seen.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send(start())
        await send(body(b"%d!" % scope["state"]["value"]))

    server = harness.server(app, lifespan=True)
    await server.startup()
    await server.startup()
    wire = Wire()
    join(wire, server.protocol())
    wire.send(GET)
    assert (await wire.until(b"!")).endswith(b"42!")
    assert seen == ["lifespan.startup"]
    await server.shutdown(0)
    await server.shutdown(0)
    assert seen == ["lifespan.startup", "lifespan.shutdown"]


async def test_a_lifespan_that_fails_to_start_says_why(harness: Harness) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(PlugmuxError, match="no database"):
        await harness.server(app, lifespan=True).startup()


@pytest.mark.parametrize("ending", ["raises", "returns"])
async def test_an_app_without_a_lifespan_is_left_alone(harness: Harness, ending: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if ending == "raises":
            raise KeyError(scope["type"])

    await harness.server(app, lifespan=True).startup()


@pytest.mark.parametrize(
    ("last", "logged"),
    [
        ({"type": "lifespan.shutdown.failed", "message": "stuck"}, "did not end well: stuck"),
        ({"type": "lifespan.startup.complete"}, "the app sent 'lifespan.startup.complete' out of order"),
        (None, "the app's lifespan did not end within 0.1 s, and is cancelled"),
    ],
)
async def test_a_lifespan_that_fails_to_end_is_logged(
    harness: Harness,
    last: dict[str, Any] | None,
    logged: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Lifespan.shutdown, "__defaults__", (0.1,))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if last is not None:
            await send(last)
        await receive()

    server = harness.server(app, lifespan=True)
    await server.startup()
    if last is None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await server.shutdown(0)
    else:
        await server.shutdown(0)
    assert logged in caplog.text
