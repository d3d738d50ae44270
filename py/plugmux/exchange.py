"""The types in which HTTP and RPC meet.

`http/` and `connect/` do not import each other. Both use the types of this module:

* on the caller's side, a `ClientTransport` sends one `Request` to a peer and returns the response: whole (`fetch`, for
  unary calls) or as it arrives (`send`, for all other calls);
* on the server's side every app is an ASGI 3 app. An app may also have a fast path for unary requests: the `fast_path`
  method of a `FastPathApp`. The HTTP server offers each request to it first. For a request that the app accepts, the
  server reads the whole body and awaits one call, without an ASGI scope, receive and send.

Header names are lower-case `bytes` on both sides, as in ASGI; values are `bytes` without surrounding white space.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

__all__ = [
    "ASGIApp",
    "ClientTransport",
    "Response",
    "FastPathApp",
    "FastPathCall",
    "Headers",
    "Receive",
    "Request",
    "RequestHead",
    "Scope",
    "Send",
    "StreamingResponse",
]

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Header fields in order; names in lower case."""

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
"""The three arguments of an ASGI 3 application."""

ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI 3 application."""


@dataclass(slots=True)
class Request:
    """One HTTP request as the caller makes it.

    Args:
        path: the request target in origin form, with its query, percent-encoded (`"/kv.v1.KeyValueService/Get"`).
        headers: header fields without Host, Connection, Content-Length and Transfer-Encoding, which the transport sets.
        body: the whole body as `bytes`, or an asynchronous iterable whose items are sent as it yields them.
        method: the HTTP method.
        timeout: seconds until the caller stops waiting, `None` for no limit. A transport that sets its own timer for
            each request uses it. The caller can cancel the request at any time.
        idempotent: whether the request may be sent again although the peer may have acted on it already.
        grace: how many of the seconds of `timeout` lie beyond the time that the caller itself has set.
    """

    path: str
    headers: Headers = ()
    body: bytes | AsyncIterable[bytes] = b""
    method: str = "POST"
    timeout: float | None = None
    idempotent: bool = False
    grace: float = 0.0


@dataclass(slots=True)
class Response:
    """A whole response: the result of `ClientTransport.fetch` and of a `FastPathCall`."""

    status: int
    headers: Headers = ()
    body: bytes = b""


class StreamingResponse(Protocol):
    """A response whose head has arrived, and whose body is read as it arrives.

    The caller must read it to its end or `aclose` it. Closing it before its end resets the stream, which cancels the
    peer's handler. `aclose` may be called at any time and more than once.
    """

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Headers: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


@runtime_checkable
class ClientTransport(Protocol):
    """Sends requests to one peer, or to the peer that it chooses by the request's path.

    Both methods raise `ExchangeError` when the exchange breaks, `LinkError` when there is no link to send on, and
    `TimeoutError` when `request.timeout` has expired. When the calling task is cancelled they reset the stream.
    """

    async def fetch(self, request: Request, limit: int) -> Response:
        """Send the request and return its whole response; raise `BodyTooLarge` if the body exceeds `limit` bytes."""
        ...

    async def send(self, request: Request) -> StreamingResponse:
        """Send the request and return its response when the head has arrived, even while the request is being sent."""
        ...


@dataclass(slots=True)
class RequestHead:
    """The head of a request as the HTTP server read it.

    Args:
        method: as sent, in upper case.
        path: the raw path, without the query.
        query: the raw query string, without the question mark.
        headers: all header fields in order.
        connection: what the owner of the connection knows of it: `"link"`, `"peer"` and any other entry that was given
            to the server for this connection. An ASGI app finds the same mapping in
            `scope["extensions"]["plugmux.connection"]`.
    """

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    connection: Mapping[str, object] = field(default_factory=dict)


class FastPathCall(Protocol):
    """One accepted unary request; `limit` is the largest body in bytes, `deadline` is in the event loop's time."""

    @property
    def limit(self) -> int: ...
    @property
    def deadline(self) -> float | None: ...

    async def complete(self, body: bytes) -> Response:
        """Answer the request, given its whole body."""
        ...

    def expired(self) -> Response:
        """Answer a request whose deadline has passed before its whole body has arrived."""
        ...

    def too_large(self, size: int) -> Response:
        """Answer a request whose body has `size` bytes or more, which is over `limit`; the body is discarded."""
        ...


class FastPathApp(Protocol):
    """An ASGI app that also has a fast path for unary requests."""

    def fast_path(self, head: RequestHead) -> FastPathCall | None:
        """Accept the request for the fast path, or return `None` to receive it by ASGI."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...
