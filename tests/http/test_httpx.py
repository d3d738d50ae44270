"""The transport for httpx, and for httpx2."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from plugmux.errors import SessionClosed
from plugmux.http import MuxTransport
from plugmux.testing import FakeClock
from support.http_peers import Harness, Wire, echo, join


@pytest.fixture(params=[httpx, httpx2], ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


def client_of(library: Any, transport: Any, **options: Any) -> Any:
    return library.AsyncClient(transport=transport, base_url="http://unix", **options)


async def client_for(harness: Harness, library: Any, app: Any, **options: Any) -> Any:
    calling, _ = await harness.muxes_for(app)
    return client_of(library, MuxTransport(calling.open), **options)


def against(library: Any, peer: asyncio.BaseProtocol, **options: Any) -> Any:
    return client_of(library, MuxTransport(lambda protocol: join(protocol, peer)), **options)


class Answer(Wire):
    """A peer that answers at once, and then closes."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.send(self.answer)
        self.transport.close()


async def test_a_client_of_the_library_talks_over_the_mux(harness: Harness, library: Any) -> None:
    heads: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heads.append((scope["method"], scope["path"], scope["query_string"], dict(scope["headers"])))
        await echo(scope, receive, send)

    async with await client_for(harness, library, app) as client:
        response = await client.post("/a b", params={"c": "d"}, json={"x": 1}, headers={"X-Y": "z"})
        assert response.status_code == 200
        assert response.json() == {"x": 1}
        assert response.headers["content-type"] == "text/plain"
        assert response.http_version == "HTTP/1.1"
        assert (await client.get("/")).content == b""
        assert (await client.put("/", content=b"x" * 1_000_000)).content == b"x" * 1_000_000
    method, path, query, headers = heads[0]
    assert (method, path, query) == ("POST", "/a b", b"c=d")
    assert (headers[b"host"], headers[b"connection"], headers[b"x-y"]) == (b"unix", b"close", b"z")
    assert b"content-length" not in heads[1][3]
    assert b"transfer-encoding" not in heads[1][3]


async def test_both_directions_are_streamed(harness: Harness, library: Any) -> None:
    questions: asyncio.Queue[bytes] = asyncio.Queue()

    async def double(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        while (message := await receive())["more_body"]:
            await send({"type": "http.response.body", "body": message["body"] * 2, "more_body": True})
        await send({"type": "http.response.body"})

    async def ask() -> AsyncIterator[bytes]:
        while question := await questions.get():
            yield question

    async with await client_for(harness, library, double) as client:
        questions.put_nowait(b"a")
        async with client.stream("POST", "/", content=ask()) as response:
            answers = response.aiter_raw()
            assert await anext(answers) == b"aa"
            questions.put_nowait(b"b")
            assert await anext(answers) == b"bb"
            questions.put_nowait(b"")
            assert [answer async for answer in answers] == []


async def test_a_body_of_known_length_is_sent_with_it(harness: Harness, library: Any) -> None:
    peer = Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def body() -> AsyncIterator[bytes]:
        yield b"he"
        yield b"llo"

    async with against(library, peer) as client:
        await client.post("/", content=body(), headers={"content-length": "5"})
    assert b"content-length: 5\r\n\r\n" in peer.received
    assert b"chunked" not in peer.received


@pytest.mark.parametrize("length", ["4", "6"])
async def test_a_body_that_does_not_have_its_length_is_an_error(library: Any, length: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"he"
        yield b"llo"

    peer = Wire()
    async with against(library, peer) as client:
        with pytest.raises(library.LocalProtocolError, match="content-length"):
            await client.post("/", content=body(), headers={"content-length": length})
    await peer.until_lost()


async def test_a_response_closed_early_cancels_the_handler(harness: Harness, library: Any) -> None:
    ended = asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        finally:
            ended.set()

    async with await client_for(harness, library, endless) as client:
        async with client.stream("GET", "/") as response:
            await anext(response.aiter_raw())
        await ended.wait()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"nonsense\r\n\r\n", "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nX", "RemoteProtocolError"),
    ],
)
async def test_a_broken_response_is_the_librarys_own_error(library: Any, answer: bytes, error: str) -> None:
    async with against(library, Answer(answer)) as client:
        with pytest.raises(getattr(library, error)):
            await client.get("/")


async def test_a_stream_that_breaks_is_a_read_error(library: Any) -> None:
    peer = Wire()
    async with against(library, peer) as client:
        task = asyncio.ensure_future(client.get("/"))
        await peer.until(b"\r\n\r\n")
        peer.transport.abort()
        with pytest.raises(library.ReadError):
            await task


async def test_a_link_that_has_ended_is_a_connect_error(library: Any) -> None:
    def open(protocol: asyncio.Protocol) -> asyncio.Transport:
        raise SessionClosed("the session has ended")

    async with client_of(library, MuxTransport(open)) as client:
        with pytest.raises(library.ConnectError, match="the session has ended"):
            await client.get("/")


async def test_a_header_that_cannot_be_sent_is_a_local_error(library: Any) -> None:
    async with against(library, Wire()) as client:
        with pytest.raises(library.LocalProtocolError):
            await client.get("/", headers={"a": "b\r\nc: d"})


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"])
async def test_the_read_timeout_is_honoured(library: Any, answer: bytes) -> None:
    peer = Wire()
    async with against(library, peer, timeout=library.Timeout(None, read=0.01)) as client:
        task = asyncio.ensure_future(client.get("/"))
        await peer.until(b"\r\n\r\n")
        peer.send(answer)
        with pytest.raises(library.ReadTimeout):
            await task
    await peer.until_lost()


@pytest.mark.parametrize("answers", [True, False])
async def test_the_read_timeout_begins_when_the_request_has_been_sent(library: Any, answers: bool) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(60)
        yield b"last"

    with FakeClock() as clock:
        peer = Wire()
        async with against(library, peer, timeout=library.Timeout(5.0)) as client:
            task = asyncio.ensure_future(client.post("/", content=body()))
            await clock.advance(59)
            assert not task.done()
            await clock.advance(1)
            await peer.until(b"last\r\n0\r\n\r\n")
            if answers:
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                assert (await task).text == "ok"
            else:
                await clock.advance(5)
                with pytest.raises(library.ReadTimeout):
                    await task


async def test_the_write_timeout_is_honoured(library: Any) -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    peer = Wire()
    async with against(library, peer, timeout=library.Timeout(None, write=0.01)) as client:
        task = asyncio.ensure_future(client.post("/", content=body()))
        await peer.until(b"x\r\n")
        peer.transport.pause_reading()
        with pytest.raises(library.WriteTimeout):
            await task
    await peer.until_lost()


async def test_a_request_that_is_cancelled_resets_its_stream(library: Any) -> None:
    peer = Wire()
    async with against(library, peer) as client:
        task = asyncio.ensure_future(client.get("/"))
        await peer.until(b"\r\n\r\n")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await peer.until_lost()
    assert isinstance(peer.error, ConnectionResetError)


def test_the_library_is_imported_only_on_demand() -> None:
    code = """
import sys
import plugmux.http
assert not {"httpx", "httpx2", "httpcore"} & set(sys.modules)
plugmux.http.MuxTransport
assert "httpx" in sys.modules
try:
    plugmux.http.nothing
except AttributeError:
    pass
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
