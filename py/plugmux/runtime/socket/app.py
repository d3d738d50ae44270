"""What a runtime serves on its listening sockets.

GET /hijack                       a plugin that starts by itself turns the connection into a link
GET /health                       200 ok
/<service>/<method>               the runtime's own services, then those of its plugins; 503 while none serves it

Where several plugins serve a service, the header `plugmux-plugin` names the one that is meant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ...connect import App, Service
from ...errors import ExchangeError
from ...exchange import DirectCall, RequestHead
from ...link.app import HEALTH, answer
from ...link.forward import forward
from ..calls.router import Router

__all__ = ["Front"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HIJACK = "/hijack"
PLUGIN_HEADER = b"plugmux-plugin"


class Front:
    """An ASGI app over the runtime's own services, its plugins' services, and the hijack.

    Args:
        router: carries requests to plugins.
        hijack: takes over the connection of a plugin that starts by itself: called with the scope, it returns when
            the link has ended.
    """

    def __init__(self, router: Router, hijack: Callable[[Scope], Awaitable[None]]) -> None:
        self._router = router
        self._hijack = hijack
        self._services: list[Service] = []
        self._rpc = App(())

    def mount(self, service: Service) -> None:
        """Serve one more service of the runtime's own."""
        self._services.append(service)
        self._rpc = App(tuple(self._services))

    def direct(self, head: RequestHead) -> DirectCall | None:
        """Take a unary call to one of the runtime's own services straight."""
        return self._rpc.direct(head)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._rpc(scope, receive, send)
            return
        path: str = scope["path"]
        service, _, method = path[1:].partition("/")
        if path == HEALTH:
            await answer(send, 200, b"ok")
        elif path == HIJACK:
            await self._take_over(scope, send)
        elif not method:
            await answer(send, 404, b"there is /health, /hijack, and /<service>/<method>")
        elif service in {own.spec.name for own in self._services}:
            await self._rpc(scope, receive, send)
        else:
            await self._forward(scope, receive, send)

    async def _take_over(self, scope: Scope, send: Send) -> None:
        if "plugmux.upgrade" in scope.get("extensions", {}):
            await self._hijack(scope)
        else:
            await answer(send, 426, b"/hijack needs Connection: upgrade and Upgrade: tcp")

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on to the plugin that serves it."""
        name = next((value.decode("latin-1") for field, value in scope["headers"] if field == PLUGIN_HEADER), None)
        try:
            router = self._router.to(name, scope["path"][1:].partition("/")[0])
        except ExchangeError as error:
            await answer(send, 503, str(error).encode())
        else:
            await forward(router, scope, receive, send, request_timeout=router.request_timeout)
