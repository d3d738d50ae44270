"""Services as an ASGI app, which is a `DirectApp` too.

ASGI:    __call__ ── unary ──> UnaryCall.complete ──> handler
                └─── stream ─> StreamCall.serve ────> handler
direct:  direct ─────────────> UnaryCall.complete ──> handler
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias

from ..errors import ConfigError
from ..exchange import Complete, DirectCall, RequestHead
from .code import Code
from .codec import CODECS
from .compression import NAMES, named
from .error import RpcError
from .interceptor import Interceptor, around_stream, around_unary, checked
from .limits import Limits
from .metadata import from_base64
from .server_stream import Receive, Send, StreamCall
from .server_unary import Route, UnaryCall, refusal
from .service import Service, stream_handler, unary_handler
from .spec import Kind
from .terms import STREAM_TYPES, UNARY_TYPES, Terms, content_codec, read_terms, received_encoding

__all__ = ["App"]

Scope: TypeAlias = MutableMapping[str, Any]
Fields: TypeAlias = list[tuple[bytes, bytes]]


class App:
    """An ASGI 3 app that serves RPC services over the Connect protocol.

    It mounts wherever an ASGI app does, at the root or below a path, and in our own HTTP server it takes unary calls
    straight (`direct`).

    Args:
        services: instances of generated service classes; each proto service once.
        interceptors: run around every call, the first outermost.
        limits: bounds on the size of messages; a service's own `limits` go before.
        compression: names of the compressions to take and to offer; by default gzip, and br and zstd where their
            packages are installed.
        compress_min: bytes from which on a response is compressed, for a caller that accepts it (1 KiB).

    Raises:
        ConfigError: two services have one name, an interceptor is of the wrong shape, or a compression is not there.
    """

    def __init__(
        self,
        services: Iterable[Service],
        *,
        interceptors: Iterable[Interceptor] = (),
        limits: Limits | None = None,
        compression: Iterable[str] | None = None,
        compress_min: int = 1024,
    ) -> None:
        self.services = tuple(services)
        self._compression = NAMES if compression is None else tuple(named(name).name for name in compression)
        self._unary: dict[str, Route] = {}
        self._streams: dict[str, Route] = {}
        chain, names = checked(interceptors), set()
        for service in self.services:
            if not isinstance(service, Service):
                raise ConfigError(f"{service!r} is not an instance of a generated service class")
            if service.spec.name in names:
                raise ConfigError(f"two services are named {service.spec.name}")
            names.add(service.spec.name)
            bounds = service.limits or limits or Limits()
            for method in service.spec.methods:
                if method.kind is Kind.UNARY:
                    unary = around_unary(chain, unary_handler(service, method))
                    self._unary[method.path] = Route(method, unary, bounds, compress_min)
                else:
                    stream = around_stream(chain, stream_handler(service, method))
                    self._streams[method.path] = Route(method, stream, bounds, compress_min)

    def direct(self, head: RequestHead) -> DirectCall | None:
        """Take a unary call straight; whatever is not plainly one goes by ASGI, which also answers what is wrong."""
        route = self._unary.get(head.path)
        if route is None or head.method != "POST":
            return None
        fields = dict(head.headers)
        codec = content_codec(fields.get(b"content-type"), UNARY_TYPES)
        if codec is None:
            return None
        try:
            terms = read_terms(fields, codec, self._compression)
        except RpcError:
            return None
        return UnaryCall(route, terms, head.headers, fields, head.connection)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        if (stream := self._streams.get(path)) is not None:
            await self._serve_stream(stream, scope, receive, send)
        elif (unary := self._unary.get(path)) is not None:
            await self._serve_unary(unary, scope, receive, send)
        else:
            await _respond(send, Complete(404, TEXT, b"no such method is served here"))

    async def _serve_stream(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        headers = list(scope["headers"])
        fields = dict(headers)
        if scope["method"] != "POST":
            await _respond(send, Complete(405, [*TEXT, (b"allow", b"POST")], b"a stream is called with POST"))
            return
        codec = content_codec(fields.get(b"content-type"), STREAM_TYPES)
        if codec is None:
            await _respond(send, _unsupported(STREAM_TYPES))
            return
        try:
            terms, fault = read_terms(fields, codec, self._compression, b"connect-"), None
        except RpcError as error:
            terms, fault = Terms(codec), error
        call = StreamCall(route, terms, headers, fields, _connection(scope), send)
        if fault is not None:
            await call.end(fault)
        else:
            await call.serve(receive)

    async def _serve_unary(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        headers = list(scope["headers"])
        fields = dict(headers)
        try:
            if scope["method"] == "GET" and route.method.no_side_effects:
                query = scope["query_string"]
                terms, body = _read_query(query, fields, self._compression)
                call = UnaryCall(route, terms, headers, fields, _connection(scope), query)
                response = await _while_connected(call, body, receive)
            elif scope["method"] != "POST":
                allow = b"GET, POST" if route.method.no_side_effects else b"POST"
                response = Complete(405, [*TEXT, (b"allow", allow)], b"this method is called with " + allow)
            elif (codec := content_codec(fields.get(b"content-type"), UNARY_TYPES)) is None:
                response = _unsupported(UNARY_TYPES)
            else:
                call = UnaryCall(
                    route, read_terms(fields, codec, self._compression), headers, fields, _connection(scope)
                )
                response = await _serve_body(call, receive)
        except RpcError as error:
            response = refusal(error)
        if response is not None:
            await _respond(send, response)


TEXT = [(b"content-type", b"text/plain; charset=utf-8")]


async def _serve_body(call: UnaryCall, receive: Receive) -> Complete | None:
    """Read the body and answer it; `None` when the caller has left."""
    parts, size, more = [], 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        part = event.get("body", b"")
        size += len(part)
        if size > call.limit:
            return call.too_large(size)
        parts.append(part)
        more = event.get("more_body", False)
    return await _while_connected(call, b"".join(parts), receive)


async def _while_connected(call: UnaryCall, body: bytes, receive: Receive) -> Complete | None:
    """Answer the request, unless the caller leaves first, which cancels the handler."""
    task = asyncio.current_task()
    assert task is not None
    before, left = task.cancelling(), False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    watching = asyncio.ensure_future(watch())
    try:
        return await call.complete(body)
    except asyncio.CancelledError:
        if not left or task.uncancel() > before:
            raise
        return None
    finally:
        watching.cancel()
        await asyncio.wait((watching,))


async def _respond(send: Send, response: Complete) -> None:
    headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _live(receive: Receive, send: Send) -> None:
    """Take part in the ASGI lifespan; there is nothing to start or to stop."""
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


def _connection(scope: Scope) -> Mapping[str, object]:
    connection: Mapping[str, object] = (scope.get("extensions") or {}).get("plugmux.connection") or {}
    return connection


def _unsupported(types: Mapping[bytes, object]) -> Complete:
    return Complete(415, [(b"accept-post", b", ".join(types))])


def _read_query(query_string: bytes, fields: Mapping[bytes, bytes], offered: Iterable[str]) -> tuple[Terms, bytes]:
    """The terms and the message of a call by GET. (Connect protocol, "Unary-Get-Request".)"""
    from urllib.parse import unquote_to_bytes

    pairs = [parameter.partition(b"=") for parameter in query_string.replace(b"+", b" ").split(b"&")]
    query = {unquote_to_bytes(name): unquote_to_bytes(value) for name, _, value in pairs}
    codec = CODECS.get(query.get(b"encoding", b"").decode("latin-1"))
    if codec is None or b"message" not in query:
        raise RpcError(Code.INVALID_ARGUMENT, "a call by GET has the query parameters `encoding` and `message`")
    if query.get(b"connect", b"v1") != b"v1":
        raise RpcError(Code.INVALID_ARGUMENT, "the query parameter `connect` must be v1")
    message = query[b"message"]
    if query.get(b"base64") == b"1":
        message = from_base64(message)
    terms = read_terms({**fields, b"content-encoding": b""}, codec, offered)
    terms.received = received_encoding(query.get(b"compression"), offered)
    return terms, message
