"""A request that is handed on to another peer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from plugmux.exchange import Headers, Receive, Request, Response
from plugmux.link.forward import MAX_HELD, KeptBodies, forward


class Peer:
    """A transport that keeps the request and gives one response."""

    status = 200

    def __init__(self, headers: Headers = ()) -> None:
        self.headers = headers
        self.request: Request
        self.body: Any

    async def fetch(self, request: Request, limit: int) -> Response:
        raise AssertionError("it is sent")

    async def send(self, request: Request) -> Peer:
        self.request = request
        body = request.body
        self.body = body if isinstance(body, bytes) else [piece async for piece in body]
        return self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"answer"

    async def aclose(self) -> None:
        pass


def received(pieces: list[bytes]) -> Receive:
    """What gives a request's body in these pieces."""
    events: list[Any] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    events.append({"type": "http.request"})

    async def receive() -> Any:
        return events.pop(0)

    return receive


async def handed_on(peer: Peer, headers: Headers, pieces: list[bytes], kept: KeptBodies | None = None) -> list[Any]:
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "method": "POST",
        "raw_path": b"/kv.v1.KeyValueService/Get",
        "query_string": b"",
        "headers": list(headers),
    }
    await forward(peer, scope, received(pieces), send, kept=kept)
    return sent


async def test_fields_of_the_connection_alone_are_not_handed_on() -> None:
    peer = Peer([(b"connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"x-kept", b"1")])
    asked = [(b"connection", b"Keep-Alive, x-secret"), (b"x-secret", b"1"), (b"te", b"x"), (b"x-kept", b"2")]
    sent = await handed_on(peer, asked, [])
    assert list(peer.request.headers) == [(b"x-kept", b"2")]
    assert sent[0]["headers"] == [(b"x-kept", b"1")]


@pytest.mark.parametrize(
    ("content_type", "pieces", "body"),
    [
        (b"application/proto", [b"a", b"b"], b"ab"),
        (b"application/json; charset=utf-8", [], b""),
        (b"application/connect+proto", [b"a", b"b"], [b"a", b"b"]),
        (b"application/proto", [b"a", bytes(MAX_HELD), b"b"], [b"a", bytes(MAX_HELD), b"b"]),
    ],
)
async def test_a_unary_call_is_handed_on_whole_within_bounds(
    content_type: bytes, pieces: list[bytes], body: object
) -> None:
    peer = Peer()
    await handed_on(peer, [(b"content-type", content_type)], pieces)
    assert peer.body == body


async def test_the_bodies_that_are_kept_are_bounded_together() -> None:
    kept = KeptBodies(limit=10)
    unary = [(b"content-type", b"application/proto")]
    async with kept.whole(received([b"12345678"])) as body:
        assert body == b"12345678"
        peer = Peer()
        await handed_on(peer, unary, [b"123", b"4"], kept)
        assert peer.body == [b"123", b"4"], "it is carried all the same, and cannot be repeated"
    await handed_on(peer, unary, [b"12345", b"67890"], kept)
    assert peer.body == b"1234567890", "what was kept before is no longer counted"


@pytest.mark.parametrize(("field", "timeout"), [(b"500", 1.5), (b"-1", None), (b"9" * 11, None), (b"", None)])
async def test_the_time_limit_of_a_call_is_kept_with_a_second_to_spare(field: bytes, timeout: float | None) -> None:
    peer = Peer()
    await handed_on(peer, [(b"connect-timeout-ms", field)] if field else [], [])
    assert peer.request.timeout == timeout
