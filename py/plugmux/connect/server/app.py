"""Services as an ASGI app that has a fast path for unary calls.

ASGI:       __call__ ── unary ──> UnaryCall.complete ──> handler
                   └─── stream ─> StreamCall.serve ────> handler
fast path:  fast_path ──────────> UnaryCall.complete ──> handler
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from ...errors import ConfigError
from ...exchange import FastPathCall, Receive, RequestHead, Response, Scope, Send
from ..compression import NAMES, named
from ..envelope import END_STREAM, envelope
from ..error import RpcError
from ..interceptor import Interceptor, around_stream, around_unary, validate
from ..limits import RpcLimits, too_large
from ..negotiation import STREAM_TYPES, UNARY_TYPES, read_headers, read_query
from ..spec import Kind
from .context import Context
from .service import Service, stream_handler, unary_handler
from .stream import StreamCall, end_of_stream, while_connected
from .unary import Route, UnaryCall, expired, unary_error_response

__all__ = ["App", "error_response"]

TEXT = [(b"content-type", b"text/plain; charset=utf-8")]


class App:
    """An ASGI 3 app that serves RPC services over the Connect protocol.

    It can be mounted in any ASGI server or framework, at the root or below a path. The HTTP server of plugmux passes
    unary calls to it by a fast path (`fast_path`).

    Args:
        services: instances of generated service classes, at most one for each proto service.
        interceptors: run around every call, the first outermost.
        limits: bounds on the size of messages; the `limits` of a service take precedence.
        compression: names of the compressions to accept and to use; by default gzip, and br and zstd if their packages
            are installed.
        compress_min: responses of fewer bytes are sent uncompressed (1 KiB).

    Raises:
        ConfigError: two services have the same name, an interceptor cannot work, or a compression is not available.
    """

    def __init__(
        self,
        services: Iterable[Service],
        *,
        interceptors: Iterable[Interceptor] = (),
        limits: RpcLimits | None = None,
        compression: Iterable[str] | None = None,
        compress_min: int = 1024,
    ) -> None:
        self.services = tuple(services)
        self._compression = NAMES if compression is None else tuple(named(name).name for name in compression)
        self._unary: dict[str, Route] = {}
        self._streams: dict[str, Route] = {}
        chain, names = validate(interceptors), set()
        for service in self.services:
            if not isinstance(service, Service):
                raise ConfigError(f"{service!r} is not an instance of a generated service class")
            if service.spec.name in names:
                raise ConfigError(f"two services are named {service.spec.name}")
            names.add(service.spec.name)
            bounds = service.limits or limits or RpcLimits()
            for method in service.spec.methods:
                if method.kind is Kind.UNARY:
                    unary = around_unary(chain, unary_handler(service, method, bounds.threads))
                    self._unary[method.path] = Route(method, unary, bounds, compress_min)
                else:
                    stream = around_stream(chain, stream_handler(service, method, bounds.threads))
                    self._streams[method.path] = Route(method, stream, bounds, compress_min)

    def fast_path(self, head: RequestHead) -> FastPathCall | None:
        """Accept a well-formed unary call by POST; every other request goes through ASGI, which also answers errors."""
        route = self._unary.get(head.path)
        if route is None or head.method != "POST":
            return None
        call_headers = read_headers(dict(head.headers), UNARY_TYPES, self._compression)
        if call_headers is None or call_headers.fault is not None:
            return None
        return UnaryCall(route, call_headers, Context(route.method, head.headers, head.connection))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await _serve_lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        response: Response | None
        if (stream := self._streams.get(path)) is not None:
            response = await self._serve_stream(stream, scope, receive, send)
        elif (unary := self._unary.get(path)) is not None:
            response = await self._serve_unary(unary, scope, receive)
        else:
            response = Response(404, TEXT, b"no such method is served here")
        if response is not None:
            headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            await send({"type": "http.response.body", "body": response.body})

    async def _serve_stream(self, route: Route, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """Serve a stream. Returns a response only if the request is not valid for a stream."""
        context = _context(route, scope)
        if scope["method"] != "POST":
            return _not_allowed(b"POST")
        call_headers = read_headers(dict(scope["headers"]), STREAM_TYPES, self._compression)
        if call_headers is None:
            return _unsupported(STREAM_TYPES)
        call_headers.started = _began(scope, call_headers.started)
        await StreamCall(route, call_headers, context, send).serve(receive, _hold_of(scope))
        return None

    async def _serve_unary(self, route: Route, scope: Scope, receive: Receive) -> Response | None:
        """The response of a unary call; `None` if the caller has disconnected."""
        context, fields = _context(route, scope), dict(scope["headers"])
        body: bytes | None = None
        try:
            if scope["method"] == "GET" and route.method.no_side_effects:
                context.http_method, context.query = "GET", scope["query_string"]
                call_headers, body = read_query(context.query, fields, self._compression)
                if len(body) > route.limits.receive:
                    raise too_large("receive", len(body), route.limits.receive)
            elif scope["method"] != "POST":
                return _not_allowed(b"GET, POST" if route.method.no_side_effects else b"POST")
            elif (read := read_headers(fields, UNARY_TYPES, self._compression)) is None:
                return _unsupported(UNARY_TYPES)
            else:
                call_headers = read
            if call_headers.fault is not None:
                raise call_headers.fault
            call_headers.started = _began(scope, call_headers.started)
            if body is None:
                async with asyncio.timeout_at(call_headers.deadline):
                    body = await _read_body(receive, route.limits.receive, _hold_of(scope))
            if body is None:
                return None
        except TimeoutError:
            return unary_error_response(expired(call_headers))
        except RpcError as error:
            return unary_error_response(error)

        async def disconnected() -> bool:
            while (await receive())["type"] != "http.disconnect":
                pass
            return True

        return await while_connected(UnaryCall(route, call_headers, context).complete(body), disconnected)


def error_response(error: RpcError, content_type: bytes) -> Response:
    """The response that fails a call, in the form of the protocol that its content type names.

    Args:
        error: the error to send.
        content_type: the content type of the request.
    """
    if content_type not in STREAM_TYPES:
        return unary_error_response(error)
    body = envelope(end_of_stream(error, error.metadata.sendable()), END_STREAM)
    return Response(200, [(b"content-type", content_type)], body)


def _context(route: Route, scope: Scope) -> Context:
    connection = (scope.get("extensions") or {}).get("plugmux.connection") or {}
    return Context(route.method, list(scope["headers"]), connection)


def _began(scope: Scope, now: float) -> float:
    """When the head of a request had arrived, if the server tells it; that may be before the app was called."""
    began: float = (scope.get("extensions") or {}).get("plugmux.began", now)
    return began


def _not_allowed(allow: bytes) -> Response:
    return Response(405, [*TEXT, (b"allow", allow)], b"this method must be called by " + allow)


def _unsupported(types: Mapping[bytes, object]) -> Response:
    return Response(415, [(b"accept-post", b", ".join(types))])


def _hold_of(scope: Scope) -> Callable[[int], object]:
    """The function by which the ASGI server counts the bytes of a request that are kept; `bool` if it has none."""
    hold: Callable[[int], object] = (scope.get("extensions") or {}).get("plugmux.hold", bool)
    return hold


async def _read_body(receive: Receive, limit: int, hold: Callable[[int], object]) -> bytes | None:
    """Read the whole body of a request; `None` if the caller has disconnected.

    Raises:
        RpcError: the body exceeds the limit.
    """
    parts, size, more = [], 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise too_large("receive", size, limit)
        more = event.get("more_body", False)
        hold(size if more else 0)
    return b"".join(parts)


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    """Complete the ASGI lifespan; the app has nothing to start or to stop."""
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
