"""Services as an ASGI app, which is a `DirectApp` too.

ASGI:    __call__ ── unary ──> UnaryCall.complete ──> handler
                └─── stream ─> StreamCall.serve ────> handler
direct:  direct ─────────────> UnaryCall.complete ──> handler
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from ...errors import ConfigError
from ...exchange import DirectCall, Receive, RequestHead, Response, Scope, Send
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
from .unary import Route, UnaryCall, expired, refusal

__all__ = ["App", "error_response"]

TEXT = [(b"content-type", b"text/plain; charset=utf-8")]


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

    def direct(self, head: RequestHead) -> DirectCall | None:
        """Take a unary call straight; whatever is not plainly one goes by ASGI, which also answers what is wrong."""
        route = self._unary.get(head.path)
        if route is None or head.method != "POST":
            return None
        call_headers = read_headers(dict(head.headers), UNARY_TYPES, self._compression)
        if call_headers is None or call_headers.fault is not None:
            return None
        return UnaryCall(route, call_headers, Context(route.method, head.headers, head.connection))

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
        """Serve a stream; gives a response only where the request is none for a stream."""
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
        """The response of a unary call; `None` where the caller has left."""
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
            return refusal(expired(call_headers))
        except RpcError as error:
            return refusal(error)

        async def left() -> bool:
            while (await receive())["type"] != "http.disconnect":
                pass
            return True

        return await while_connected(UnaryCall(route, call_headers, context).complete(body), left)


def error_response(error: RpcError, content_type: bytes) -> Response:
    """The response to a call of which nothing but its content type is known.

    Args:
        error: what the caller is told.
        content_type: of the request.
    """
    if content_type not in STREAM_TYPES:
        return refusal(error)
    body = envelope(end_of_stream(error, error.metadata.raw), END_STREAM)
    return Response(200, [(b"content-type", content_type)], body)


def _context(route: Route, scope: Scope) -> Context:
    connection = (scope.get("extensions") or {}).get("plugmux.connection") or {}
    return Context(route.method, list(scope["headers"]), connection)


def _began(scope: Scope, now: float) -> float:
    """When the head of a request had come, where the server tells, which may be before the app was called."""
    began: float = (scope.get("extensions") or {}).get("plugmux.began", now)
    return began


def _not_allowed(allow: bytes) -> Response:
    return Response(405, [*TEXT, (b"allow", allow)], b"this method is called with " + allow)


def _unsupported(types: Mapping[bytes, object]) -> Response:
    return Response(415, [(b"accept-post", b", ".join(types))])


def _hold_of(scope: Scope) -> Callable[[int], object]:
    """What counts the bytes that are kept of a request, where the ASGI server does that."""
    hold: Callable[[int], object] = (scope.get("extensions") or {}).get("plugmux.hold", bool)
    return hold


async def _read_body(receive: Receive, limit: int, hold: Callable[[int], object]) -> bytes | None:
    """The whole body of a request; `None` when the caller has left.

    Raises:
        RpcError: it is over the limit.
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


async def _live(receive: Receive, send: Send) -> None:
    """Take part in the ASGI lifespan; there is nothing to start or to stop."""
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
