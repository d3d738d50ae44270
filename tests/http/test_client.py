"""The caller's side: what is sent, what is understood, and how an exchange breaks."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from plugmux.errors import BodyTooLarge, ConfigError, ExchangeError, SessionClosed, StreamReset
from plugmux.exchange import ClientTransport, Request, Response
from plugmux.http import SocketClient, StreamClient
from plugmux.http.exchange import RoundTrip
from support.http_peers import EchoCall, FastPathEcho, Harness, MemoryTransport, echo, join


class Scripted(asyncio.Protocol):
    """A peer that answers every piece of a request with what the test says."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.received = b""
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.answers:
            answer = self.answers.pop(0)
            if answer is None:
                self.transport.close()
            else:
                self.transport.write(answer)
                if self.answers == [None]:
                    self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)

    async def wait_lost(self) -> Exception | None:
        """Wait until the connection is gone."""
        async with asyncio.timeout(10):
            return await self.lost


@asynccontextmanager
async def listening(directory: Path, answer: bytes) -> AsyncIterator[asyncio.Queue[Scripted]]:
    """Listen at `s` in a directory; gives the peers that have accepted, each of which gives one answer."""
    peers: asyncio.Queue[Scripted] = asyncio.Queue()

    def accept() -> Scripted:
        peers.put_nowait(peer := Scripted(answer))
        return peer

    server = await asyncio.get_running_loop().create_unix_server(accept, f"{directory}/s")
    try:
        yield peers
    finally:
        server.close()
        await server.wait_closed()


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def collect(client: ClientTransport, request: Request) -> Response:
    """Send a request, and read its response to the end as it comes."""
    incoming = await client.send(request)
    return Response(incoming.status, incoming.headers, b"".join([piece async for piece in incoming]))


async def fetch(client: ClientTransport, request: Request) -> Response:
    return await client.fetch(request, 1 << 20)


either = pytest.mark.parametrize("call", [fetch, collect])


@either
@pytest.mark.parametrize("app", [echo, FastPathEcho()], ids=["asgi", "fast path"])
@pytest.mark.parametrize("body", [b"", b"hello", b"x" * 200_000, "pieces"], ids=["empty", "small", "large", "pieces"])
@pytest.mark.parametrize("step", [None, 11])
async def test_a_request_and_its_response_cross(
    harness: Harness, call: Any, app: Any, body: Any, step: int | None
) -> None:
    if body == "pieces":
        content, expected = pieces(b"a", b"", b"bc" * 3000), b"a" + b"bc" * 3000
    else:
        content = expected = body
    response = await call(harness.client(app, step=step), Request("/a", ((b"x", b"y"),), content))
    assert (response.status, response.body) == (200, expected)
    assert (b"content-type", b"text/plain") in response.headers


async def test_a_request_goes_out_in_one_write_and_its_side_stays_open(harness: Harness) -> None:
    peers: list[Scripted] = []
    transports: list[MemoryTransport] = []

    def open(protocol: asyncio.Protocol) -> asyncio.Transport:
        peers.append(Scripted(OK))
        transports.append(join(protocol, peers[-1]))
        return transports[-1]

    client = StreamClient(open)
    assert isinstance(client, ClientTransport)
    await client.fetch(Request("/a?b", ((b"x", b"y"),), b"hello"), 5)
    expected = b"POST /a?b HTTP/1.1\r\nhost: unix\r\nconnection: close\r\nx: y\r\ncontent-length: 5\r\n\r\nhello"
    assert transports[0].writes == [expected]
    await client.fetch(Request("/", method="GET"), 5)
    assert transports[1].writes == [b"GET / HTTP/1.1\r\nhost: unix\r\nconnection: close\r\n\r\n"]
    assert [await peer.wait_lost() for peer in peers] == [None, None]


@either
@pytest.mark.parametrize(
    ("answer", "method", "expected"),
    [
        (OK, "POST", b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + OK, "POST", b"hello"),
        (OK + b"trailing garbage", "POST", b"hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "POST", b"hello"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "POST", b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", "POST", b"hello"),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "POST", b""),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "POST", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", b""),
    ],
)
@pytest.mark.parametrize("step", [None, 1])
async def test_a_response_is_understood_however_it_is_framed(
    harness: Harness, call: Any, answer: bytes, method: str, expected: bytes, step: int | None
) -> None:
    client = harness.against(lambda: Scripted(answer, None), step=step)
    assert (await call(client, Request("/", method=method))).body == expected


@either
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "the stream ended before the response had begun"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "the stream ended before the response had begun"),
        (OK[:-1], "the response is cut off: the body ended after 4 of 5 bytes"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "the body ended before its last chunk",
        ),
        (b"nonsense\r\n\r\n", "the peer's response is not valid HTTP"),
        (b"\x00", "the peer's response is not valid HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\n\r\n", "the peer's response is not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "the peer's response is not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the peer's response is not valid HTTP"),
    ],
)
async def test_a_response_that_is_broken_is_an_error(
    harness: Harness, call: Any, answer: bytes | None, message: str
) -> None:
    client = harness.against(lambda: Scripted(answer, None) if answer else Scripted(None))
    with pytest.raises(ExchangeError, match=message) as caught:
        await call(client, Request("/"))
    assert caught.value.sent


@either
async def test_a_stream_that_breaks_within_the_response_says_why(harness: Harness, call: Any) -> None:
    peer = Scripted(OK[:-1])
    client = harness.against(lambda: peer)
    task = asyncio.ensure_future(call(client, Request("/")))
    for _ in range(5):
        await asyncio.sleep(0)
    peer.transport.abort()
    with pytest.raises(ExchangeError, match="the stream broke within the response: reset by the other end") as caught:
        await task
    assert isinstance(caught.value.__cause__, ConnectionResetError)


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        (OK, 5),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n", 9),
        (b"HTTP/1.1 200 OK\r\n\r\n123456", 6),
    ],
)
async def test_a_body_over_the_limit_is_an_error_that_names_both(harness: Harness, answer: bytes, size: int) -> None:
    peer = Scripted(answer)
    with pytest.raises(BodyTooLarge) as caught:
        await harness.against(lambda: peer).fetch(Request("/"), 4)
    assert (caught.value.size, caught.value.limit) == (size, 4)
    assert isinstance(await peer.wait_lost(), ConnectionResetError)


@pytest.mark.parametrize("request_", [Request("/"), Request("/", body=pieces(b"a"))], ids=["bytes", "pieces"])
@either
async def test_a_call_that_is_cancelled_resets_its_stream(harness: Harness, call: Any, request_: Request) -> None:
    peer = Scripted()
    task = asyncio.ensure_future(call(harness.against(lambda: peer), request_))
    while not peer.received:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(await peer.wait_lost(), ConnectionResetError)


@either
@pytest.mark.parametrize("answer", [b"", OK[:-1]])
async def test_a_call_whose_time_is_over_resets_its_stream(harness: Harness, call: Any, answer: bytes) -> None:
    peer = Scripted(answer)
    with pytest.raises(TimeoutError, match="within the timeout of the request"):
        await call(harness.against(lambda: peer), Request("/", timeout=0.01))
    assert isinstance(await peer.wait_lost(), ConnectionResetError)


@either
async def test_a_call_that_ends_in_time_leaves_no_timer(harness: Harness, call: Any) -> None:
    await call(harness.client(echo), Request("/", timeout=1000))
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # asyncio's own
    assert [timer for timer in timers if not timer.cancelled() and "RoundTrip" in repr(timer)] == []


async def test_a_response_is_there_while_the_request_is_still_being_sent(harness: Harness) -> None:
    async def double(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        while (message := await receive())["more_body"]:
            await send({"type": "http.response.body", "body": message["body"] * 2, "more_body": True})
        await send({"type": "http.response.body"})

    questions: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def ask() -> AsyncIterator[bytes]:
        while (question := await questions.get()) is not None:
            yield question

    questions.put_nowait(b"")
    questions.put_nowait(b"first")
    incoming = await harness.client(double).send(Request("/", body=ask()))
    answers = aiter(incoming)
    assert await anext(answers) == b"firstfirst"
    questions.put_nowait(b"second")
    assert await anext(answers) == b"secondsecond"
    questions.put_nowait(None)
    assert [answer async for answer in answers] == []


@pytest.mark.parametrize("closing", ["aclose", "timeout", "break"])
async def test_a_response_that_is_closed_early_cancels_the_handler(harness: Harness, closing: str) -> None:
    ended = asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        finally:
            ended.set()

    timeout = 0.02 if closing == "timeout" else None
    incoming = await harness.client(endless).send(Request("/", timeout=timeout))
    if closing == "timeout":
        with pytest.raises(TimeoutError):
            async for _ in incoming:
                pass
    else:
        await anext(aiter(incoming))
    await incoming.aclose()
    await incoming.aclose()
    await ended.wait()
    with pytest.raises((StreamReset, TimeoutError)):
        await anext(aiter(incoming))


async def test_a_response_that_is_not_read_is_not_taken_from_the_stream(harness: Harness) -> None:
    sent = 0

    async def much(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    incoming = await harness.client(much).send(Request("/"))
    for _ in range(200):
        await asyncio.sleep(0)
    assert sent < 30
    assert sum([len(piece) async for piece in incoming]) == 1_000_000


async def test_a_request_body_waits_for_a_peer_that_does_not_read(harness: Harness) -> None:
    release = asyncio.Event()
    given = 0

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await echo(scope, receive, send)

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(100):
            yield b"x" * 10_000
            given += 1

    task = asyncio.ensure_future(harness.client(slow).fetch(Request("/", body=body()), 1 << 20))
    for _ in range(200):
        await asyncio.sleep(0)
    assert given < 30
    release.set()
    assert len((await task).body) == 1_000_000


@either
async def test_an_error_in_the_request_body_reaches_the_caller_and_resets_the_stream(
    harness: Harness, call: Any
) -> None:
    peer = Scripted()

    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await call(harness.against(lambda: peer), Request("/", body=broken()))
    assert isinstance(await peer.wait_lost(), ConnectionResetError)


@either
async def test_a_request_body_that_is_no_longer_wanted_is_closed(harness: Harness, call: Any) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
                await asyncio.sleep(0)
        finally:
            closed.set()

    response = await call(harness.against(lambda: Scripted(OK)), Request("/", body=endless()))
    assert response.body == b"hello"
    assert closed.is_set()


@either
@pytest.mark.parametrize(
    "request_",
    [
        Request("/", ((b"a", b"b\r\nc: d"),)),
        Request("/", ((b"a b", b"c"),)),
        Request("/a b"),
        Request("/a\r\nHost: b"),
        Request(""),
        Request("/é"),
        Request("/", method="GET /x HTTP/1.1\r\nA:"),
        Request("/", method=""),
    ],
    ids=repr,
)
async def test_what_cannot_be_sent_is_refused_before_a_stream_is_opened(call: Any, request_: Request) -> None:
    def open(protocol: asyncio.Protocol) -> asyncio.Transport:
        raise AssertionError("no stream is to be opened")

    with pytest.raises(ConfigError):
        await call(StreamClient(open), request_)


@either
async def test_a_link_that_has_ended_says_so(call: Any) -> None:
    def open(protocol: asyncio.Protocol) -> asyncio.Transport:
        raise SessionClosed("the session has ended")

    with pytest.raises(SessionClosed):
        await call(StreamClient(open), Request("/"))


# New connections


@either
async def test_each_request_connects_to_a_unix_socket(harness: Harness, call: Any, tmp_path: Path) -> None:
    app = FastPathEcho()
    loop = asyncio.get_running_loop()
    for address, path in ((f"unix:{tmp_path}/s", f"{tmp_path}/s"), ("unix:@plugmux-test", "\0plugmux-test")):
        listening = await loop.create_unix_server(harness.server(app).protocol, path)
        client = SocketClient(address)
        assert isinstance(client, ClientTransport)
        for timeout in (None, 5):
            assert (await call(client, Request("/", body=b"hello", timeout=timeout))).body == b"hello"
        listening.close()
        await listening.wait_closed()
    assert (b"host", b"localhost") in app.heads[0].headers


@either
async def test_each_request_connects_by_tcp(harness: Harness, call: Any) -> None:
    app = FastPathEcho()
    listening = await asyncio.get_running_loop().create_server(harness.server(app).protocol, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    for body in (b"hello", pieces(b"hel", b"lo")):
        assert (await call(SocketClient(f"http://127.0.0.1:{port}/"), Request("/", body=body))).body == b"hello"
    assert (b"host", b"127.0.0.1:%d" % port) in app.heads[0].headers
    listening.close()
    await listening.wait_closed()


@either
async def test_a_connection_that_cannot_be_opened_was_never_sent(call: Any, tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="cannot connect to unix:") as caught:
        await call(SocketClient(f"unix:{tmp_path}/nobody"), Request("/"))
    assert not caught.value.sent


@either
@pytest.mark.parametrize("answer", [b"", OK[:-1]])
async def test_a_time_limit_holds_for_a_connection_too(call: Any, answer: bytes, tmp_path: Path) -> None:
    async with listening(tmp_path, answer) as peers:
        with pytest.raises(TimeoutError):
            await call(SocketClient(f"unix:{tmp_path}/s"), Request("/", timeout=0.05))
        await (await peers.get()).wait_lost()  # the limit may pass before the peer has accepted


@either
async def test_a_call_that_is_cancelled_while_its_connection_opens_leaves_nothing(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(tmp_path, OK) as peers:
        made = RoundTrip.connection_made

        def cancel_call(trip: RoundTrip, transport: asyncio.BaseTransport) -> None:
            made(trip, transport)
            calling.cancel()

        monkeypatch.setattr(RoundTrip, "connection_made", cancel_call)
        calling = asyncio.ensure_future(call(SocketClient(f"unix:{tmp_path}/s"), Request("/")))
        with pytest.raises(asyncio.CancelledError):
            await calling
        await (await peers.get()).wait_lost()
        gc.collect()


@pytest.mark.parametrize(
    "address",
    [
        "ftp://a",
        "http://",
        "http://a/b",
        "http://a?b",
        "http://u:p@a",
        "unix:",
        "/path",
        "",
        "http://a:99999",
        "http://a:x",
    ],
)
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ConfigError):
        SocketClient(address)


def test_https_checks_certificates_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    create: Callable[..., ssl.SSLContext] = ssl.create_default_context

    def make() -> ssl.SSLContext:
        made.append(create())
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", make)
    SocketClient("https://localhost:1")
    assert made[0].verify_mode is ssl.CERT_REQUIRED
    SocketClient("https://localhost:1", ssl_context=made[0])
    SocketClient("http://localhost:1")
    assert len(made) == 1


async def test_a_timeout_of_zero_is_over_at_once(harness: Harness) -> None:
    async def never(body: bytes) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    client = harness.client(FastPathEcho(EchoCall(answer=never)))
    with pytest.raises(TimeoutError):
        await client.fetch(Request("/", timeout=0), 1)
