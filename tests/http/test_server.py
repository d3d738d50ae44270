"""The server's side of a connection: heads, keeping, limits, refusals, and the end."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest

from plugmux.errors import ConfigError
from plugmux.exchange import Response
from support.http_peers import EchoCall, FastPathEcho, Harness, Wire, connect, echo, join

GET = b"GET /a HTTP/1.1\r\nHost: unix\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: unix\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: unix\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
CLOSING = POST.replace(b"Host", b"Connection: close\r\nHost")


def both_paths() -> list[Any]:
    return [pytest.param(lambda: echo, id="asgi"), pytest.param(FastPathEcho, id="fast path")]


both = pytest.mark.parametrize("make", both_paths())


def undated(data: bytes) -> bytes:
    """A response without its Date, which must be there."""
    rest, count = re.subn(rb"date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", b"", data)
    assert count == data.count(b"HTTP/1.1 ")
    return rest


RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"
LAST_RESPONSE = RESPONSE.replace(b"5\r\n", b"5\r\nconnection: close\r\n")


@both
@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize("request_bytes", [POST, CHUNKED])
async def test_requests_follow_one_another_on_a_kept_connection(
    harness: Harness, make: Any, step: int | None, request_bytes: bytes
) -> None:
    wire = harness.wire(make(), step=step)
    for _ in range(3):
        wire.send(request_bytes)
        assert undated(await wire.until(b"hello")) == RESPONSE
    assert not wire.ended


@both
@pytest.mark.parametrize("step", [None, 1])
async def test_pipelined_requests_are_answered_in_order(harness: Harness, make: Any, step: int | None) -> None:
    wire = harness.wire(make(), step=step)
    bodies = [b"first", b"2", b"", b"fourth"]
    wire.send(b"".join(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(b), b) for b in bodies))
    got = await wire.until(b"fourth")
    assert re.findall(rb"\r\n\r\n(.*?)(?=HTTP/1.1|$)", got, re.DOTALL) == bodies


@both
async def test_any_number_of_pipelined_requests_is_answered(harness: Harness, make: Any) -> None:
    wire = harness.wire(make(), buffer_bytes=1 << 20)
    wire.send(POST * 2000)
    got = b""
    while got.count(b"HTTP/1.1 200 OK") < 2000:
        got += await wire.until(b"hello")


@both
async def test_a_connection_that_the_caller_wants_closed_is_closed_behind_the_response(
    harness: Harness, make: Any
) -> None:
    wire = harness.wire(make())
    wire.send(CLOSING)
    assert undated(await wire.until_end()) == LAST_RESPONSE


@both
async def test_a_response_and_its_head_go_out_in_one_write(harness: Harness, make: Any) -> None:
    server = harness.server(make())
    wire = Wire()
    transport = join(wire, server.protocol())
    wire.send(POST)
    await wire.until(b"hello")
    assert len(transport.peer.writes) == 1


@both
async def test_a_caller_of_http_1_0_gets_its_connection_closed(harness: Harness, make: Any) -> None:
    wire = harness.wire(make())
    wire.send(b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello")
    assert undated(await wire.until_end()) == LAST_RESPONSE


@both
async def test_head_gets_the_head_alone(harness: Harness, make: Any) -> None:
    wire = harness.wire(make())
    wire.send(b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + POST)
    assert undated(await wire.until(b"hello")) == RESPONSE.removesuffix(b"hello") + RESPONSE


@both
async def test_a_caller_that_waits_for_it_is_told_to_continue(harness: Harness, make: Any) -> None:
    wire = harness.wire(make())
    wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(b"hello")
    assert undated(await wire.until(b"hello")) == RESPONSE


@both
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFiller: " + b"f" * 200_000, b"431 Request Header Fields Too Large"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", b"501 Not Implemented"),
        (CHUNKED.replace(b"2\r\nhe", b"zz\r\nhe"), b"400 Bad Request"),
        (POST + b"nonsense\r\n\r\n", b"400 Bad Request"),
    ],
)
@pytest.mark.parametrize("step", [None, 1000])
async def test_what_is_no_request_is_refused_and_the_connection_ends(
    harness: Harness, make: Any, data: bytes, status: bytes, step: int | None
) -> None:
    wire = harness.wire(make(), step=step)
    wire.send(data)
    got = await wire.until_end()
    refusal = got[got.rindex(b"HTTP/1.1 ") :]
    assert refusal.startswith(b"HTTP/1.1 %b\r\n" % status)
    assert b"connection: close\r\n" in refusal
    assert refusal.endswith(b"\r\n\r\n%b\n" % status[4:])
    wire.transport.close()
    await wire.until_lost()


async def test_the_rest_of_a_refused_request_is_thrown_away_so_that_the_caller_can_read_the_refusal(
    harness: Harness,
) -> None:
    wire = harness.wire(FastPathEcho(EchoCall(limit=4)))
    wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    got = await wire.until_end()
    assert got.startswith(b"HTTP/1.1 413 ")
    assert got.endswith(b"1000000 bytes")
    for _ in range(10):
        wire.send(b"x" * 100_000)
        await asyncio.sleep(0)
    assert not wire.lost
    wire.transport.write_eof()
    wire.transport.close()
    await wire.until_lost()


async def test_a_connection_does_not_linger_for_longer_than_its_limit(harness: Harness) -> None:
    wire = harness.wire(FastPathEcho(EchoCall(limit=4)), linger_seconds=0.01)
    wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    await wire.until_lost()
    assert wire.error is not None


async def test_a_chunked_body_is_refused_as_soon_as_it_passes_the_limit(harness: Harness) -> None:
    wire = harness.wire(FastPathEcho(EchoCall(limit=4)))
    wire.send(CHUNKED[: -len(b"0\r\n\r\n")])
    assert (await wire.until_end()).endswith(b"5 bytes")


async def test_nothing_is_asked_for_that_would_be_refused(harness: Harness) -> None:
    wire = harness.wire(FastPathEcho(EchoCall(limit=4)))
    wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert (await wire.until_end()).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("data", [b"", POST])
async def test_a_connection_without_a_request_is_closed_in_silence(harness: Harness, data: bytes) -> None:
    wire = harness.wire(echo, head_seconds=0.01, idle_seconds=0.01)
    wire.send(data)
    assert (await wire.until_lost()).count(b"HTTP/1.1") == bool(data)


@pytest.mark.parametrize("before", [b"", POST])
async def test_a_head_that_does_not_come_to_its_end_is_answered_with_408(harness: Harness, before: bytes) -> None:
    wire = harness.wire(echo, head_seconds=0.01)
    wire.send(before + GET[:-2])
    assert b"HTTP/1.1 408 Request Timeout\r\n" in await wire.until_end()


async def test_a_body_that_makes_no_progress_is_answered_with_408(harness: Harness) -> None:
    wire = harness.wire(FastPathEcho(), body_seconds=0.01)
    wire.send(POST[:-1])
    assert b"HTTP/1.1 408 Request Timeout\r\n" in await wire.until_end()


async def test_an_app_may_wait_for_a_body_as_long_as_it_likes(harness: Harness) -> None:
    wire = harness.wire(echo)
    (server,) = harness.servers
    wire.send(POST[:-1])
    while not server.tasks:
        await asyncio.sleep(0)
    timeouts = server.timeouts
    for queue in (timeouts.heads, timeouts.idle, timeouts.bodies, timeouts.writes, timeouts.lingering):
        assert not queue
    wire.send(POST[-1:])
    assert (await wire.until(b"hello")).startswith(b"HTTP/1.1 200 ")


class Hanging:
    """A handler that waits until it is cancelled."""

    def __init__(self) -> None:
        self.began, self.cancelled = asyncio.Event(), asyncio.Event()

    def app(self, *, fast: bool) -> Any:
        """The handler as an app, or on the fast path."""
        return FastPathEcho(EchoCall(answer=self._answer)) if fast else self._serve

    async def _answer(self, body: bytes) -> Response:
        self.began.set()
        try:
            return await asyncio.Future()
        finally:
            self.cancelled.set()

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        await self._answer(b"")


@both
@pytest.mark.parametrize("end", ["eof", "close", "abort"])
async def test_a_caller_that_goes_away_cancels_its_handler(harness: Harness, make: Any, end: str) -> None:
    hanging = Hanging()
    wire = harness.wire(hanging.app(fast=make is FastPathEcho))
    wire.send(POST)
    await hanging.began.wait()
    {"eof": wire.transport.write_eof, "close": wire.transport.close, "abort": wire.transport.abort}[end]()
    await hanging.cancelled.wait()
    assert await wire.until_lost() == b""


@both
async def test_a_caller_that_goes_away_at_once_leaves_nothing_behind(harness: Harness, make: Any) -> None:
    wire = harness.wire(make())
    wire.send(POST)
    wire.transport.write_eof()
    await wire.until_end()


async def test_an_error_of_the_handler_is_logged_and_told_as_500_and_nothing_more(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(body: bytes) -> Response:
        raise LookupError("the secret text")

    wire = harness.wire(FastPathEcho(EchoCall(answer=answer)))
    wire.send(POST)
    got = await wire.until(b"Internal Server Error\n")
    assert got.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in got
    assert [record.message for record in caplog.records] == ["POST /a failed"]
    assert "the secret text" in caplog.text


@pytest.mark.parametrize("length", [b"Content-Length: 5\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"])
async def test_a_refusal_that_fails_is_told_as_500(
    harness: Harness, caplog: pytest.LogCaptureFixture, length: bytes
) -> None:
    class Broken(EchoCall):
        def too_large(self, size: int) -> Response:
            raise LookupError("broken")

    wire = harness.wire(FastPathEcho(Broken(limit=4)))
    wire.send(b"POST /a HTTP/1.1\r\nHost: a\r\n" + length)
    assert (await wire.until_end()).startswith(b"HTTP/1.1 500 ")
    assert "broken" in caplog.text


@pytest.mark.parametrize(
    "response",
    [
        Response(200, ((b"x", b"a\r\nb: c"),)),
        Response(200, ((b"x", b"a\nb"),)),
        Response(200, ((b"x", b"a\0b"),)),
        Response(200, ((b"x y", b"a"),)),
        Response(200, ((b"", b"a"),)),
        Response(2000),
    ],
)
async def test_a_response_that_cannot_be_sent_is_told_as_500(
    harness: Harness, response: Response, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(body: bytes) -> Response:
        return response

    wire = harness.wire(FastPathEcho(EchoCall(answer=answer)))
    wire.send(POST)
    assert (await wire.until(b"Error\n")).startswith(b"HTTP/1.1 500 ")
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[0] is ConfigError


async def test_a_fast_path_that_fails_is_told_as_500(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FastPathEcho):
        def fast_path(self, head: Any) -> Any:
            raise LookupError("broken")

    wire = harness.wire(Broken())
    wire.send(POST)
    assert (await wire.until_end()).startswith(b"HTTP/1.1 500 ")
    assert "broken" in caplog.text


async def test_the_head_is_told_as_it_was_sent(harness: Harness) -> None:
    app = FastPathEcho()
    server = harness.server(app)
    wire = Wire()
    join(wire, server.protocol(peer="me", link=1))
    wire.send(b"get /a%20b/c?d=%20&e HTTP/1.1\r\nHost: a\r\nX:  y \r\nContent-Length: 0\r\n\r\n")
    await wire.until(b"\r\n\r\n")
    head = app.heads[0]
    assert (head.method, head.path, head.query) == ("GET", "/a%20b/c", b"d=%20&e")
    assert head.headers == [(b"host", b"a"), (b"x", b"y"), (b"content-length", b"0")]
    assert head.connection == {"peer": "me", "link": 1}


async def test_large_bodies_pass_the_fast_path_whole(harness: Harness) -> None:
    body = bytes(range(256)) * 4000
    wire = harness.wire(FastPathEcho())
    wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert (await wire.until_end()).endswith(b"\r\n\r\n" + body)


async def test_pipelined_requests_are_read_ahead_only_so_far(harness: Harness) -> None:
    release = asyncio.Event()

    async def answer(body: bytes) -> Response:
        await release.wait()
        return Response(204)

    server = harness.server(FastPathEcho(EchoCall(answer=answer)), buffer_bytes=1000)
    wire = Wire()
    transport = join(wire, server.protocol())
    for _ in range(100):
        wire.send(POST)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not transport.peer.reading
    assert sum(map(len, transport.peer.inbox)) > len(POST) * 70  # type: ignore[arg-type]  # bytes alone are in it
    release.set()
    got = b""
    while got.count(b"204 No Content") < 100:
        got += await wire.until(b"\r\n\r\n")


@both
async def test_a_caller_that_reads_no_responses_is_read_no_further(harness: Harness, make: Any) -> None:
    server = harness.server(make(), buffer_bytes=1000)
    wire = Wire()
    transport = join(wire, server.protocol())
    wire.transport.pause_reading()
    large = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + bytes(20_000)
    for _ in range(100):
        wire.send(large)
    for _ in range(300):
        await asyncio.sleep(0)
    assert len(transport.peer.writes) < 10
    wire.transport.resume_reading()
    got = b""
    while got.count(b"200 OK") < 100 or not got.endswith(bytes(20_000)):
        got += await wire.until(bytes(20_000))
    wire.send(POST)
    await wire.until(b"hello")


async def test_shutdown_lets_requests_under_way_finish_and_refuses_new_ones(harness: Harness) -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def answer(body: bytes) -> Response:
        began.set()
        await release.wait()
        return Response(200, (), body)

    server = harness.server(FastPathEcho(EchoCall(answer=answer)))
    busy, idle, late = Wire(), Wire(), Wire()
    join(busy, server.protocol())
    join(idle, server.protocol())
    busy.send(POST)
    await began.wait()
    shutdown = asyncio.ensure_future(server.shutdown(10))
    assert await idle.until_end() == b""
    join(late, server.protocol())
    late.send(POST)
    assert (await late.until_end()).startswith(b"HTTP/1.1 503 ")
    late.transport.close()
    release.set()
    assert (await busy.until_end()).endswith(b"connection: close\r\n\r\nhello")
    await shutdown
    await server.shutdown(0)


@both
async def test_shutdown_cancels_what_does_not_finish_in_its_time(harness: Harness, make: Any) -> None:
    hanging = Hanging()
    server = harness.server(hanging.app(fast=make is FastPathEcho))
    wire = Wire()
    join(wire, server.protocol())
    wire.send(POST)
    await hanging.began.wait()
    await server.shutdown(0.01)
    assert hanging.cancelled.is_set()
    assert await wire.until_lost() == b""


@pytest.mark.parametrize("fast", [True, False], ids=["fast path", "asgi"])
async def test_shutdown_may_be_called_by_a_handler_which_then_ends_as_it_likes(harness: Harness, fast: bool) -> None:
    async def shut_down(body: bytes = b"") -> Response:
        await server.shutdown(0)
        await asyncio.sleep(0)
        return Response(200, (), b"done")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/b":
            await asyncio.Event().wait()
        response = await shut_down()
        await send({"type": "http.response.start", "status": response.status, "headers": []})
        await send({"type": "http.response.body", "body": response.body})

    server = harness.server(FastPathEcho(EchoCall(answer=shut_down)) if fast else app)
    wire, other = Wire(), Wire()
    join(other, server.protocol())
    join(wire, server.protocol())
    other.send(POST.replace(b"/a", b"/b")[:-1])
    wire.send(POST)
    answer = await wire.until_end()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"connection: close\r\n\r\ndone")
    await other.until_lost()


async def test_nothing_of_a_request_reaches_the_log(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wire = harness.wire(echo)
    wire.send(POST.replace(b"Host", b"Authorization: Bearer secret\r\nHost"))
    await wire.until(b"hello")
    wire.send(b"\x00secret")
    await wire.until_end()
    assert "secret" not in caplog.text


class Panic(BaseException):
    """As extension modules raise: no `Exception`."""


async def panicking_app(scope: Any, receive: Any, send: Any) -> None:
    raise Panic("the secret text")


async def panicking_answer(body: bytes) -> Response:
    raise Panic("the secret text")


@pytest.mark.parametrize(
    "app", [panicking_app, FastPathEcho(EchoCall(answer=panicking_answer))], ids=["asgi", "fast path"]
)
async def test_a_panic_of_a_handler_is_logged_once_and_told_as_500(
    harness: Harness, caplog: pytest.LogCaptureFixture, app: Any
) -> None:
    wire = harness.wire(app)
    wire.send(POST)
    got = await wire.until(b"Internal Server Error\n")
    assert got.startswith(b"HTTP/1.1 500 ")
    (record,) = caplog.records
    assert (record.levelno, record.message) == (logging.ERROR, "POST /a failed")
    assert "the secret text" in caplog.text


async def test_a_request_framed_both_ways_is_answered_and_its_connection_ends(harness: Harness) -> None:
    both_ways = CHUNKED.replace(b"Transfer", b"Content-Length: 5\r\nTransfer")
    for app in (echo, FastPathEcho()):
        wire = harness.wire(app)
        wire.send(both_ways + GET)
        assert undated(await wire.until_end()) == LAST_RESPONSE


async def test_a_call_whose_time_is_over_before_its_body_has_come_is_told_so(harness: Harness) -> None:
    call = EchoCall(deadline=asyncio.get_running_loop().time())
    wire = harness.wire(FastPathEcho(call))
    wire.send(POST[:-1])
    assert (await wire.until_end()).startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize("closing", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("app", [echo, FastPathEcho()], ids=["asgi", "fast path"])
async def test_a_caller_that_takes_nothing_of_its_response_is_cut_off(
    harness: Harness, app: Any, closing: bytes
) -> None:
    server, wire = harness.server(app, write_seconds=0.05), Wire()
    await connect(wire, server.protocol())
    wire.transport.pause_reading()
    body = bytes(1_000_000)
    wire.send(b"POST /a HTTP/1.1\r\nHost: unix\r\n%bContent-Length: %d\r\n\r\n" % (closing, len(body)))
    wire.send(body)
    while server.connections:
        await asyncio.sleep(0)
    wire.transport.abort()
    await wire.until_lost()


async def test_a_handler_that_waits_for_such_a_caller_is_cancelled(harness: Harness) -> None:
    ended = asyncio.Event()

    async def pour(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": bytes(50_000), "more_body": True})
        finally:
            ended.set()

    wire = harness.wire(pour, write_seconds=0.05)
    wire.transport.pause_reading()
    wire.send(GET)
    await ended.wait()
    await wire.until_lost()


async def test_a_caller_that_is_slow_but_reads_is_not_cut_off(harness: Harness) -> None:
    wire = harness.wire(echo, write_seconds=60, idle_seconds=60)
    wire.transport.pause_reading()
    body = bytes(200_000)
    wire.send(b"POST /a HTTP/1.1\r\nHost: unix\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    (server,) = harness.servers
    while not server.timeouts.writes:
        await asyncio.sleep(0)
    wire.transport.resume_reading()
    await wire.until(body)
    assert not server.timeouts.writes
    assert len(server.timeouts.idle) == 1


async def test_a_loop_that_was_held_up_cuts_no_caller_off(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = harness.wire(echo, head_seconds=30)
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + 40)
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the timer has fired, and what the caller sent meanwhile is read behind it
    wire.send(CLOSING)
    assert b" 200 " in await wire.until_end()
