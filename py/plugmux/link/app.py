"""The app that one end of a link serves: health, raw streams, RPC services, lent objects, and any ASGI app.

A `LinkApp` is an ASGI app with a fast path. The app of a plugin has a gate: requests that arrive before the plugin has
registered wait there. A service therefore receives no call before the plugin has the answer to its registration.
(docs/wire.md sections 4 and 5.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..connect import App, Code, RpcError, error_response
from ..exchange import ASGIApp, FastPathCall, Receive, RequestHead, Response, Scope, Send
from .raw import STREAM_PROTOCOL, StreamHandler, serve_stream
from .references import PREFIX, reference_service, resolve

if TYPE_CHECKING:
    from ..connect import Interceptor, Service

__all__ = ["HIJACK", "HIJACK_HEADERS", "STREAM_PREFIX", "STREAM_PROTOCOL", "Gate", "LinkApp", "StreamHandler"]


HIJACK = "/hijack"
HIJACK_HEADERS = [(b"host", b"secrets-engine.localhost"), (b"upgrade", b"tcp")]
"""What who dials asks for, to make a connection a link. (docs/wire.md section 3)"""

STREAM_PREFIX = "/stream/"
MAX_STREAM_NAME = 256
HEALTH = "/health"
UNGATED = frozenset({HEALTH, "/plugins.v1.PluginService/Shutdown"})
REFERENCE_SERVICE = "plugmux.v1.ReferenceService"
NOT_LENT = "the reference is not known on this link: it has been released, or is of another link"


class Gate:
    """Holds requests back until it is opened or closed, at most for a given time.

    Args:
        timeout: the longest time, in seconds, that a request waits; `None` for no limit.
        passes: paths that never wait.
    """

    def __init__(self, timeout: float | None, passes: frozenset[str] = UNGATED) -> None:
        self._timeout = timeout
        self._decided = asyncio.Event()
        self.passes = passes
        self.is_open = False

    def open(self) -> None:
        """Let all waiting and all further requests through."""
        self.is_open = True
        self._decided.set()

    def close(self) -> None:
        """Refuse all waiting and all further requests; no effect if the gate has been opened."""
        self._decided.set()

    async def wait(self) -> bool:
        """Wait for the gate to open; return `False` if it is closed, or the time limit expires first."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._decided.wait()
        except TimeoutError:
            return False
        return self.is_open


class LinkApp:
    """An ASGI app, with a fast path for unary calls, that serves everything that one end of a link offers.

    Args:
        services: RPC services, served under their full names in the proto.
        app: an ASGI app for every other path.
        streams: handlers of raw streams, by the names under which the peer opens them.
        gate: holds requests back until this end is ready.
        interceptors: run around every RPC, the first outermost.
        lazy: functions that make further services, by full name. Each is called at the first call of its service. A
            service in `services` of the same name takes precedence.
    """

    def __init__(
        self,
        services: Iterable[Service] = (),
        *,
        app: ASGIApp | None = None,
        streams: Mapping[str, StreamHandler] | None = None,
        gate: Gate | None = None,
        interceptors: Iterable[Interceptor] = (),
        lazy: Mapping[str, Callable[[], Service]] | None = None,
    ) -> None:
        self.interceptors = tuple(interceptors)
        self._rpc = App(services, interceptors=self.interceptors)
        self._service_names = {service.spec.name for service in self._rpc.services}
        given = {REFERENCE_SERVICE: reference_service, **(lazy or {})}
        self._lazy = {name: make for name, make in given.items() if name not in self._service_names}
        self._app = app
        self._streams = dict(streams or {})
        self._gate = gate

    def fast_path(self, head: RequestHead) -> FastPathCall | None:
        """Accept a unary call for the fast path, unless it must wait at the gate."""
        if self._gate is not None and not self._gate.is_open:
            return None
        call = self._rpc.fast_path(head)
        if call is not None:
            return call
        if head.path.startswith(PREFIX):
            lent, path = resolve(head.connection, head.path)
            return None if lent is None else lent.fast_path(replace(head, path=path))
        return self._rpc.fast_path(head) if self._make_lazy(head.path) else None

    def _make_lazy(self, path: str) -> bool:
        """Make the lazy service that a path names; return whether there is one that had not been made."""
        name = path[1:].partition("/")[0]
        make = self._lazy.pop(name, None)
        if make is None:
            return False
        self._rpc = App((*self._rpc.services, make()), interceptors=self.interceptors)
        self._service_names.add(name)
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)
        else:
            await self._rpc(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if self._gate is not None and path not in self._gate.passes and not await self._gate.wait():
            await answer(send, 503, b"not registered in time")
        elif path == HEALTH:
            await answer(send, 200, b"ok")
        elif path.startswith(STREAM_PREFIX):
            await self._serve_stream(scope, send)
        elif path.startswith(PREFIX):
            await _serve_lent(scope, receive, send)
        elif self._make_lazy(path) or self._app is None or path[1:].partition("/")[0] in self._service_names:
            await self._rpc(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve_stream(self, scope: Scope, send: Send) -> None:
        from urllib.parse import unquote

        name = unquote(scope["path"][len(STREAM_PREFIX) :])[:MAX_STREAM_NAME]
        handler = self._streams.get(name)
        upgrade = scope.get("extensions", {}).get("plugmux.upgrade")
        if handler is None:
            await answer(send, 404, f"no raw stream is served under the name {name!r}".encode())
        elif upgrade is None:
            await answer(send, 426, b"a raw stream must begin with Upgrade: plugmux-stream")
        else:
            await serve_stream(handler, upgrade)


async def _serve_lent(scope: Scope, receive: Receive, send: Send) -> None:
    lent, path = resolve((scope.get("extensions") or {}).get("plugmux.connection") or {}, scope["path"])
    if lent is not None:
        await lent({**scope, "path": path, "raw_path": scope["raw_path"][-len(path) :]}, receive, send)
        return
    await refuse(scope, send, RpcError(Code.NOT_FOUND, NOT_LENT))


async def refuse(scope: Scope, send: Send, error: RpcError) -> None:
    """Answer a request with an RPC error, in the form of the protocol that its content type names."""
    media_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    await respond(send, error_response(error, media_type))


async def answer(send: Send, status: int, body: bytes) -> None:
    """Answer a request with a short text."""
    await respond(send, Response(status, [(b"content-type", b"text/plain; charset=utf-8")], body))


async def respond(send: Send, response: Response) -> None:
    """Answer a request with a whole response."""
    headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
