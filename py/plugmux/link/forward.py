"""Forwards a request to another peer, and the response back, while they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

from ..connect import Code, RpcError, error_response
from ..connect.negotiation import STREAM_TYPES, UNARY_TYPES
from ..errors import ExchangeError, LinkError
from ..exchange import ClientTransport, FastPathCall, Headers, Receive, Request, RequestHead, Scope, Send
from .app import answer, respond

if TYPE_CHECKING:
    from .remote import RemoteObject

__all__ = ["KeptBodies", "Relay", "forward", "unreachable"]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"content-length",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields that belong to one connection, and those that the transport sets. (RFC 9110 section 7.6.1.)"""
UNARY_CONTENT_TYPES = tuple(UNARY_TYPES)
MAX_HELD = 4 << 20
"""The most bytes of a unary call's body that are kept to repeat it; the default size limit of a message."""
MAX_KEPT = 64 << 20
"""The most bytes of bodies that an app keeps so at a time; beyond that, calls are carried and not repeated."""
GRACE = 1.0
"""Seconds beyond a call's time limit in which the peer may itself answer that the limit has expired."""


class KeptBodies:
    """The bodies of unary calls that are kept, so that the calls can be repeated.

    Args:
        limit: the most bytes of all of them.
    """

    def __init__(self, limit: int = MAX_KEPT) -> None:
        self._left = limit

    @asynccontextmanager
    async def whole(self, receive: Receive) -> AsyncIterator[bytes | AsyncIterator[bytes]]:
        """Read the whole body of a request; if it is too large to be kept, give what iterates over it."""
        size = 0
        pieces: list[bytes] = []
        rest = _body(receive)
        try:
            async for piece in rest:
                pieces.append(piece)
                size += len(piece)
                self._left -= len(piece)
                if size > MAX_HELD or self._left < 0:
                    yield _chained(pieces, rest)
                    return
            yield b"".join(pieces)
        finally:
            self._left += size


async def forward(
    transport: ClientTransport,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    request_timeout: float = 0.0,
    kept: KeptBodies | None = None,
) -> None:
    """Forward one request. If the peer cannot be reached, answer 503 with the reason.

    The body of a unary call is read first, so that the transport may repeat the call. Any other body is forwarded while
    it arrives.

    Args:
        transport: carries the request to the peer.
        scope: the ASGI scope of the request.
        receive: the ASGI function that gives the request's body.
        send: the ASGI function that sends the response.
        request_timeout: seconds that a unary call may take, whatever its caller allows; 0 for no limit.
        kept: what is kept of the bodies of all calls, where nothing else bounds them.
    """
    fields = dict(scope["headers"])
    unary = scope["method"] == "GET" or fields.get(b"content-type", b"").startswith(UNARY_CONTENT_TYPES)
    reading = (kept or KeptBodies()).whole(receive) if unary else nullcontext(_body(receive))
    async with reading as body:
        await _exchange(transport, scope, fields, body, send, request_timeout if unary else 0.0)


async def _exchange(
    transport: ClientTransport,
    scope: Scope,
    fields: Mapping[bytes, bytes],
    body: bytes | AsyncIterator[bytes],
    send: Send,
    request_timeout: float,
) -> None:
    """Send a request to the peer, and its response back."""
    path, query = scope["raw_path"].decode("ascii"), scope["query_string"].decode("ascii")
    limits = [_time_limit(fields), request_timeout]
    request = Request(
        f"{path}?{query}" if query else path,
        end_to_end(scope["headers"]),
        body,
        scope["method"],
        min([limit for limit in limits if limit], default=None),
        scope["method"] == "GET",
        GRACE if limits[0] else 0.0,
    )
    try:
        response = await transport.send(request)
    except (ExchangeError, LinkError) as error:
        await unreachable(scope, send, error)
        return
    except TimeoutError:
        whose = " that the runtime allows (Timeouts.request)" if request.timeout == request_timeout else ""
        timed_out = RpcError(Code.DEADLINE_EXCEEDED, f"{path} was not answered within {request.timeout:g} s{whose}")
        await respond(send, error_response(timed_out, fields.get(b"content-type", b"")))
        return
    try:
        headers = end_to_end(response.headers)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        async for chunk in response:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})
    finally:
        await response.aclose()


async def unreachable(scope: Scope, send: Send, error: Exception) -> None:
    """Answer that a peer cannot be reached, and why: to an RPC by an error, else with a short text."""
    media_type = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip()
    if media_type in UNARY_TYPES or media_type in STREAM_TYPES:
        await respond(send, error_response(RpcError(Code.UNAVAILABLE, str(error)), media_type))
    else:
        await answer(send, 503, str(error).encode())


def end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The fields to forward: neither those of the connection, nor those that its Connection field names."""
    named = {option.strip() for name, value in headers if name == b"connection" for option in value.lower().split(b",")}
    return [(name, value) for name, value in headers if name not in HOP_BY_HOP and name not in named]


def _time_limit(fields: Mapping[bytes, bytes]) -> float:
    """Seconds to wait for a call; 0 if it has no time limit, or none that is well formed."""
    milliseconds = fields.get(b"connect-timeout-ms", b"")
    return int(milliseconds) / 1000 + GRACE if milliseconds.isdigit() and len(milliseconds) <= 10 else 0.0


async def _chained(pieces: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while pieces:
        yield pieces.pop(0)
    async for piece in rest:
        yield piece


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("the caller has disconnected")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


class Relay:
    """An ASGI app that forwards every request to an object of a peer, so that the object can be lent to another peer.

    Args:
        remote: the object.
    """

    def __init__(self, remote: RemoteObject) -> None:
        self._transport = remote.transport

    def fast_path(self, head: RequestHead) -> FastPathCall | None:
        """Accept no request for the fast path."""
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await forward(self._transport, scope, receive, send)
