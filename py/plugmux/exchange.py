"""The seam between HTTP and what is called over it.

`http/` and `connect/` do not know each other. They meet in the types of this module:

* on the caller's side, a `ClientTransport` carries one `Request` to a peer and brings the response back: whole
  (`fetch`, for unary calls: one await, no streams) or as it arrives (`send`, for everything else);
* on the server's side every app is an ASGI 3 app. An app that also has a `direct` method (`DirectApp`) is asked first:
  for a request that it accepts there, the HTTP server collects the whole body and makes one call, which spares a unary
  request the ASGI scope, receive and send.

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
    "DirectApp",
    "DirectCall",
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
    """One HTTP request as the caller hands it over.

    Args:
        path: the request target in origin form, with its query, percent-encoded (`"/kv.v1.KeyValueService/Get"`).
        headers: header fields without Host, Connection, Content-Length and Transfer-Encoding, which the transport sets.
        body: all of it as `bytes`, or an asynchronous iterable whose items are sent as they come.
        method: the HTTP method.
        timeout: seconds until the caller stops waiting, `None` for no limit. Transports that set a timer of their own
            per request use it; a caller's cancellation always works.
        idempotent: whether the request may be made again although the peer may have acted on it already.
    """

    path: str
    headers: Headers = ()
    body: bytes | AsyncIterable[bytes] = b""
    method: str = "POST"
    timeout: float | None = None
    idempotent: bool = False


@dataclass(slots=True)
class Response:
    """A whole response: what `ClientTransport.fetch` gives and a `DirectCall` answers."""

    status: int
    headers: Headers = ()
    body: bytes = b""


class StreamingResponse(Protocol):
    """A response whose head has arrived, and whose body is read as it comes.

    Whoever holds one must either read it to its end or `aclose` it; `aclose` before the end resets the stream, so that
    the peer's handler is cancelled. It may be called at any time and more than once.
    """

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Headers: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


@runtime_checkable
class ClientTransport(Protocol):
    """Carries requests to one peer, or to whichever peer it chooses by the request's path.

    Both methods raise `ExchangeError` when the exchange breaks, `LinkError` when there is no link to send on, and
    `TimeoutError` when `request.timeout` has run out; when the calling task is cancelled they reset the stream.
    """

    async def fetch(self, request: Request, limit: int) -> Response:
        """Send the request and return its whole response; `BodyTooLarge` past `limit` bytes of body."""
        ...

    async def send(self, request: Request) -> StreamingResponse:
        """Send the request and return its response as soon as the head is there, even while the body is being sent."""
        ...


@dataclass(slots=True)
class RequestHead:
    """The head of a request as the HTTP server read it.

    Args:
        method: as sent, in upper case.
        path: the raw path, without the query.
        query: the raw query string, without the question mark.
        headers: all header fields in order.
        connection: what the host of the connection says about it: `"link"`, `"peer"` and whatever else was given to
            the server for this connection. An ASGI app finds the same mapping in
            `scope["extensions"]["plugmux.connection"]`.
    """

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    connection: Mapping[str, object] = field(default_factory=dict)


class DirectCall(Protocol):
    """One accepted unary request: `limit` bounds its body, in bytes, and `deadline` its time, in the event loop's."""

    @property
    def limit(self) -> int: ...
    @property
    def deadline(self) -> float | None: ...

    async def complete(self, body: bytes) -> Response:
        """Answer the request, whose whole body is given."""
        ...

    def expired(self) -> Response:
        """Answer a request whose time is over before its whole body has come."""
        ...

    def too_large(self, size: int) -> Response:
        """Answer a request whose body has `size` bytes or more, over `limit`; none of it is kept."""
        ...


class DirectApp(Protocol):
    """An ASGI app that takes unary requests straight as well."""

    def direct(self, head: RequestHead) -> DirectCall | None:
        """Accept the request for the direct entry, or return `None` to have it by ASGI."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...
