"""Upgrades: nothing is lost between the protocols, and whoever takes over owns the connection."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from plugmux.errors import ExchangeError, SessionClosed, StreamReset
from plugmux.http import upgrade
from support.http_peers import Harness, Wire, connect, echo, join

UPGRADE = b"GET /up?a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n"


class Loud(asyncio.Protocol):
    """Answers with what it gets, in upper case, behind a greeting."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        transport.write(b"hi!")  # type: ignore[attr-defined]  # it can write

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.transport.write(data.upper())

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class LoudBuffer(Loud, asyncio.BufferedProtocol):
    """The same, with a buffer of its own of three bytes."""

    def get_buffer(self, sizehint: int) -> bytearray:
        self.buffer = bytearray(3)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.buffer[:nbytes]))


loud = pytest.mark.parametrize("factory", [Loud, LoudBuffer])


def upgrading(factory: Any, log: list[str] | None = None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        protocol: Loud
        _, protocol = await scope["extensions"]["plugmux.upgrade"](factory, headers=[(b"upgrade", b"raw")])
        await protocol.lost
        if log is not None:
            log.append("done")

    return app


@loud
@pytest.mark.parametrize("step", [None, 1])
async def test_bytes_behind_the_request_are_the_first_of_the_new_protocol(
    harness: Harness, factory: Any, step: int | None
) -> None:
    log: list[str] = []
    server = harness.server(upgrading(factory, log))
    wire = Wire()
    join(wire, server.protocol(), step)
    wire.send(UPGRADE + b"first")
    assert await wire.until(b"FIRST") == SWITCHING + b"hi!FIRST"
    wire.send(b"second")
    assert await wire.until(b"SECOND") == b"SECOND"
    assert not server.connections
    assert log == []
    wire.transport.close()
    await wire.until_lost()
    await server.shutdown(5)
    assert log == ["done"]


@loud
async def test_more_bytes_behind_the_request_than_are_read_ahead_arrive_too(harness: Harness, factory: Any) -> None:
    gate = asyncio.Event()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await upgrading(factory)(scope, receive, send)

    wire = harness.wire(late, step=100, buffer_bytes=1000)
    wire.send(UPGRADE + b"x" * 10_000 + b"end")
    for _ in range(5):
        await asyncio.sleep(0)
    gate.set()
    assert (await wire.until(b"END")).removeprefix(SWITCHING) == b"hi!" + b"X" * 10_000 + b"END"
    wire.transport.close()


@loud
async def test_an_upgrade_works_on_real_sockets(harness: Harness, factory: Any) -> None:
    wire = Wire()
    await connect(harness.server(upgrading(factory)).protocol(), wire)
    wire.send(UPGRADE + b"first")
    assert await wire.until(b"FIRST") == SWITCHING + b"hi!FIRST"
    wire.send(b"second")
    await wire.until(b"SECOND")
    wire.transport.close()


async def test_a_request_that_asks_for_no_upgrade_is_offered_none(harness: Harness) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "plugmux.upgrade" not in scope["extensions"]
        await echo(scope, receive, send)

    wire = harness.wire(app)
    for request in (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: raw\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n",
    ):
        wire.send(request)
        assert (await wire.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_an_upgrade_may_be_declined_and_the_connection_kept(harness: Harness) -> None:
    wire = harness.wire(echo)
    for _ in range(2):
        wire.send(UPGRADE)
        assert (await wire.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("when", ["after the response began", "twice"])
async def test_an_upgrade_at_the_wrong_time_is_reported(
    harness: Harness, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        change = scope["extensions"]["plugmux.upgrade"]
        if when == "twice":
            await change(Loud)
        else:
            await send({"type": "http.response.start", "status": 200})
        await change(Loud)

    wire = harness.wire(app)
    wire.send(UPGRADE)
    await wire.until(b"hi!" if when == "twice" else b"Error\n")
    assert "RuntimeError: an upgrade comes before any response" in caplog.text
    wire.transport.close()


async def test_an_upgrade_before_the_end_of_the_request_is_refused(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    wire = harness.wire(upgrading(Loud))
    wire.send(UPGRADE[:-2] + b"Content-Length: 5\r\n\r\n")
    assert (await wire.until_end()).startswith(b"HTTP/1.1 500 ")


async def test_an_upgrade_for_a_caller_that_has_gone_is_an_error(harness: Harness) -> None:
    errors: asyncio.Queue[Exception] = asyncio.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                await scope["extensions"]["plugmux.upgrade"](Loud)
            except StreamReset as error:
                errors.put_nowait(error)
            raise

    wire = harness.wire(app)
    wire.send(UPGRADE)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    wire.transport.close()
    await errors.get()


async def test_shutdown_cancels_the_handler_of_an_upgraded_connection(harness: Harness) -> None:
    cancelled = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        transport, _ = await scope["extensions"]["plugmux.upgrade"](Loud)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
            transport.abort()

    server = harness.server(app)
    wire = Wire()
    join(wire, server.protocol())
    wire.send(UPGRADE)
    await wire.until(b"hi!")
    await server.shutdown(0)
    assert cancelled.is_set()


# The caller's side


class Answering(Wire):
    """A peer that answers a request with some bytes, and goes on or closes."""

    def __init__(self, answer: bytes, *, close: bool = False) -> None:
        super().__init__()
        self.answer = answer
        self.close = close

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.answer:
            self.send(self.answer)
            self.answer = b""
            if self.close:
                self.transport.close()


@loud
@pytest.mark.parametrize("step", [None, 1])
async def test_bytes_behind_the_answer_are_the_first_of_the_new_protocol(factory: Any, step: int | None) -> None:
    peer = Answering(b"HTTP/1.1 103 Early\r\n\r\n" + SWITCHING + b"first")
    _, protocol = await upgrade(
        lambda asking: join(asking, peer, step), "/a?b", [(b"upgrade", b"raw"), (b"x", b"y")], factory, 5
    )
    await peer.until(b"hi!FIRST")
    assert protocol.received == b"first"
    peer.send(b"second")
    await peer.until(b"SECOND")
    protocol.transport.close()


@pytest.mark.parametrize(
    ("headers", "host"), [([(b"upgrade", b"raw")], b"unix"), ([(b"host", b"a.b"), (b"upgrade", b"raw")], b"a.b")]
)
async def test_the_request_names_the_protocol_and_the_host(headers: list[tuple[bytes, bytes]], host: bytes) -> None:
    peer = Answering(SWITCHING)
    transport, _ = await upgrade(lambda asking: join(asking, peer), "/a", headers, Loud, None)
    request = (await peer.until(b"hi!")).removesuffix(b"hi!")
    lines = request.split(b"\r\n")
    assert lines[0] == b"GET /a HTTP/1.1"
    assert sorted(lines[1:-2]) == sorted([b"host: " + host, b"connection: upgrade", b"upgrade: raw"])
    transport.close()


@pytest.mark.parametrize(
    ("answer", "close", "message"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno such", False, "the peer answered 404: no such$"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", False, "the peer answered 404$"),
        (b"HTTP/1.1 500 Oh\r\n\r\na\x00\x1b[1mb\r\n", True, r"the peer answered 500: a  \[1mb$"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 99999\r\n\r\n" + b"x" * 9999, False, "500: x{512}$"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", True, "the peer answered 200: short$"),
        (b"nonsense\r\n\r\n", False, "the answer is not valid HTTP"),
        (b"HTTP/1.1 1", True, "the stream ended before the answer"),
    ],
)
async def test_a_refusal_is_an_error_that_says_what_the_peer_said(answer: bytes, close: bool, message: str) -> None:
    peer = Answering(answer, close=close)
    with pytest.raises(ExchangeError, match=message):
        await upgrade(lambda asking: join(asking, peer), "/a", [(b"upgrade", b"raw")], Loud, 5)
    await peer.until_lost()


async def test_no_answer_in_time_resets_the_stream() -> None:
    peer = Wire()
    with pytest.raises(TimeoutError):
        await upgrade(lambda asking: join(asking, peer), "/a", [(b"upgrade", b"raw")], Loud, 0.01)
    await peer.until_lost()
    assert isinstance(peer.error, ConnectionResetError)


async def test_an_upgrade_that_is_cancelled_resets_the_stream() -> None:
    peer = Wire()
    asking = asyncio.ensure_future(upgrade(lambda asking: join(asking, peer), "/a", [], Loud, None))
    await peer.until(b"\r\n\r\n")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await peer.until_lost()


async def test_an_upgrade_on_a_link_that_has_ended_says_so() -> None:
    def open(protocol: asyncio.Protocol) -> asyncio.Transport:
        raise SessionClosed("the session has ended")

    with pytest.raises(SessionClosed):
        await upgrade(open, "/a", [], Loud, None)


@loud
async def test_both_sides_upgrade_a_connection_that_was_open_before(harness: Harness, factory: Any) -> None:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    server = harness.server(upgrading(Loud))
    await loop.create_connection(server.protocol, sock=theirs)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    _, protocol = await upgrade(transport, "/up", [(b"upgrade", b"raw")], factory, 5)
    while b"HI!" not in protocol.received:  # what we sent first came back in upper case
        await asyncio.sleep(0)
    protocol.transport.close()
    await protocol.lost
