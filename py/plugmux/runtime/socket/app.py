"""What a runtime serves on its listening sockets.

GET /hijack                       a plugin that starts by itself turns the connection into a link
GET /health                       200 ok
GET /metrics                      what the runtime counts, for Prometheus
/<service>/<method>               the runtime's own services, then those of its plugins; 503 while none serves it

`Permissions.socket` says which of these the host has opened; the others answer 403, `permission_denied`.
Where several plugins serve a service, the header `plugmux-plugin` names the one that is meant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ...connect import App, Code, RpcError, Service
from ...errors import ExchangeError
from ...exchange import FastPathCall, RequestHead, Response
from ...link.app import HEALTH, answer, refuse, respond
from ...link.forward import KeptBodies, forward, unreachable
from ..calls.router import Router
from ..inspect.exposition import CONTENT_TYPE
from ..settings import Permissions
from .unregistered import TooManyLinks

__all__ = ["SocketApp"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HIJACK = "/hijack"
METRICS = "/metrics"
PLUGIN_HEADER = b"plugmux-plugin"
OWN = "own"
USES: dict[str, str] = {
    "resolver.v1.ResolverService": "secrets",
    "resolver.v1.AuthorizerService": "secrets",
    "plugmux.v1.RuntimeService": "observe",
}
"""What services of the runtime are for, where that is a use of the sockets that `Permissions` can close. The methods of
the management service are for two of them, and look for themselves."""

CLOSED = "the host has closed its sockets to this use: {0!r} (Permissions.socket)"


class SocketApp:
    """An ASGI app over the runtime's own services, its plugins' services, and the hijack.

    Args:
        router: carries requests to plugins.
        hijack: takes over the connection of a plugin that starts by itself: called with the scope, it returns when
            the link has ended.
        permissions: what the sockets serve.
        scrape: gives the runtime's metrics.
    """

    def __init__(
        self,
        router: Router,
        hijack: Callable[[Scope], Awaitable[None]],
        permissions: Permissions,
        scrape: Callable[[], bytes],
    ) -> None:
        self._router = router
        self._hijack = hijack
        self._scrape = scrape
        self._open = {OWN, *permissions.socket}
        self._kept = KeptBodies()
        self._services: list[Service] = []
        self._rpc = App(())

    def mount(self, service: Service) -> None:
        """Serve one more service of the runtime's own, unless the sockets are closed to it."""
        if USES.get(service.spec.name, OWN) in self._open:
            self._services.append(service)
            self._rpc = App(tuple(self._services))

    def fast_path(self, head: RequestHead) -> FastPathCall | None:
        """Take a unary call to one of the runtime's own services straight."""
        return self._rpc.fast_path(head)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._rpc(scope, receive, send)
            return
        path: str = scope["path"]
        service, _, method = path[1:].partition("/")
        if path == HEALTH:
            await answer(send, 200, b"ok")
        elif path == METRICS:
            await self._give_metrics(scope, send)
        elif path == HIJACK:
            await self._take_over(scope, send)
        elif not method:
            await answer(send, 404, b"there is /health, /metrics, /hijack, and /<service>/<method>")
        elif service in {own.spec.name for own in self._services}:
            await self._rpc(scope, receive, send)
        elif (use := USES.get(service, "calls")) not in self._open:
            await refuse(scope, send, RpcError(Code.PERMISSION_DENIED, CLOSED.format(use)))
        else:
            await self._forward(scope, receive, send)

    async def _give_metrics(self, scope: Scope, send: Send) -> None:
        if "observe" not in self._open:
            await answer(send, 403, CLOSED.format("observe").encode())
        elif scope["method"] not in ("GET", "HEAD"):
            await answer(send, 405, b"/metrics takes GET")
        else:
            await respond(send, Response(200, [(b"content-type", CONTENT_TYPE)], self._scrape()))

    async def _take_over(self, scope: Scope, send: Send) -> None:
        if "plugins" not in self._open:
            await answer(send, 403, CLOSED.format("plugins").encode())
        elif "plugmux.upgrade" in scope.get("extensions", {}):
            try:
                await self._hijack(scope)
            except TooManyLinks as error:
                await answer(send, 503, str(error).encode())
        else:
            await answer(send, 426, b"/hijack needs Connection: upgrade and Upgrade: tcp")

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on to the plugin that serves it."""
        name = next((value.decode("latin-1") for field, value in scope["headers"] if field == PLUGIN_HEADER), None)
        try:
            router = self._router.to(name, scope["path"][1:].partition("/")[0])
        except ExchangeError as error:
            await unreachable(scope, send, error)
        else:
            await forward(router, scope, receive, send, request_timeout=router.request_timeout, kept=self._kept)
