"""A request handed on to another peer, and its response handed back, as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import ExchangeError, LinkError
from ..exchange import ClientTransport, DirectCall, Request, RequestHead
from .app import answer

if TYPE_CHECKING:
    from .remote import Remote

__all__ = ["Relay", "forward"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"upgrade", b"host", b"te", b"trailer"}
)


async def forward(transport: ClientTransport, scope: Scope, receive: Receive, send: Send) -> None:
    """Hand one request on; a peer that cannot be reached is a 503 with the reason.

    Args:
        transport: carries it to the peer.
        scope: of ASGI, as are the other two.
        receive: gives the request's body.
        send: takes the response.
    """
    path, query = scope["raw_path"].decode("ascii"), scope["query_string"].decode("ascii")
    request = Request(
        f"{path}?{query}" if query else path,
        [(name, value) for name, value in scope["headers"] if name not in HOP_BY_HOP],
        _body(receive),
        scope["method"],
    )
    try:
        response = await transport.send(request)
    except (ExchangeError, LinkError) as error:
        await answer(send, 503, str(error).encode())
        return
    try:
        headers = [(name, value) for name, value in response.headers if name not in HOP_BY_HOP]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        async for chunk in response:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})
    finally:
        await response.aclose()


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("the caller went away")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


class Relay:
    """An ASGI app that hands every request on to an object of a peer's: so it is lent to another.

    Args:
        remote: the object.
    """

    def __init__(self, remote: Remote) -> None:
        self._transport = remote.transport

    def direct(self, head: RequestHead) -> DirectCall | None:
        """Nothing is answered here."""
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await forward(self._transport, scope, receive, send)
