"""A runtime as an ASGI app, for uvicorn, hypercorn or granian: each worker has a runtime and its own links.

Who calls is known by a bearer token, by the header of a proxy that ends TLS and is named, or by the certificate that it
has shown to the server, where that tells it; what it may call, by `Permissions.allow`. By default nobody may call
anything. `/hijack` needs a listener of the runtime's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, MutableMapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

from ..connect import Code, RpcError
from ..exchange import ASGIApp, Receive, Scope, Send
from ..link.app import HEALTH, answer, refuse
from ..link.link import Peer
from ..network.identity import UntrustedIdentity
from ..runtime import Runtime
from ..runtime.socket.policy import Policy
from .certificate import NOT_TOLD, identity_told_by
from .config import GatewayConfig
from .forwarded import identity_forwarded

if TYPE_CHECKING:
    from ..secrets.runtime import SecretsRuntime

__all__ = ["Gateway"]

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

CLIENT_CERTIFICATE = b"x-forwarded-client-cert"
ALLOWED_HEADERS = (
    b"authorization, content-type, connect-protocol-version, connect-timeout-ms, connect-accept-encoding, "
    b"connect-content-encoding, plugmux-plugin"
)


class Gateway:
    """An ASGI app over the plugins of a runtime, which lives as long as the app's lifespan.

    Args:
        config: what is run, and who may call what.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._policy = Policy(config.permissions.allow)
        self._app: ASGIApp | None = None
        self._running = AsyncExitStack()

    def attach(self, app: ASGIApp) -> None:
        """Serve an app; the runtime calls this."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            origin = _field(scope["headers"], b"origin").decode("latin-1")
            cors = self._cors(origin)
            if scope["method"] == "OPTIONS" and origin:
                await _preflight(send, cors)
            else:
                await self._serve(scope, receive, _with(send, cors))

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start the runtime, and end it at the end of the lifespan."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._start()
                except Exception as error:
                    await self._running.aclose()
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._running.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _start(self) -> None:
        from ..secrets import Resolver, secrets_services

        config = self._config
        runtime = Runtime(config.plugins, listen=[self], host=config.host, permissions=config.permissions)
        shown: SecretsRuntime = runtime
        for service in secrets_services(shown, Resolver(shown)):
            runtime.mount(service)
        await self._running.enter_async_context(runtime)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == HEALTH:
            await answer(send, 200, b"ok")
            return
        if self._app is None:
            await answer(send, 503, b"the gateway has not started: the server must run the lifespan of the app")
            return
        try:
            identity = self._identity(scope)
        except UntrustedIdentity as error:
            await refuse(scope, send, RpcError(Code.UNAUTHENTICATED, str(error)))
            return
        allowed = self._policy.of(identity)
        if not allowed.may_call(scope["path"]):
            who = identity or "who does not say who it is"
            told = f"{who} may not call {scope['path']} here ([allow])"
            if not identity and scope["scheme"] == "https" and "tls" not in (scope.get("extensions") or {}):
                told += f"; {NOT_TOLD}"
            await refuse(scope, send, RpcError(Code.PERMISSION_DENIED, told))
            return
        address = ":".join(map(str, scope.get("client") or ("unix",)))
        peer = Peer(identity or address, identity=identity, address=address)
        known = {"peer": peer, "allowed": allowed, "secrets": allowed.secrets}
        scope["extensions"] = {**(scope.get("extensions") or {}), "plugmux.connection": known}
        scope["headers"] = [
            field for field in scope["headers"] if field[0] not in (CLIENT_CERTIFICATE, b"authorization")
        ]
        await self._app(scope, receive, send)

    def _identity(self, scope: Scope) -> str:
        """Who calls; empty where it does not say.

        Raises:
            UntrustedIdentity: it says what is not true.
        """
        kind, _, token = _field(scope["headers"], b"authorization").partition(b" ")
        if kind.lower() == b"bearer":
            identity = self._config.bearer.get(hashlib.sha256(token.strip()).digest())
            if identity is None:
                raise UntrustedIdentity("the bearer token is not known")
            return identity
        client = (scope.get("client") or ("unix",))[0]
        told = _field(scope["headers"], CLIENT_CERTIFICATE)
        if told and client in self._config.proxies:
            return identity_forwarded(told)
        shown = (scope.get("extensions") or {}).get("tls")
        return identity_told_by(shown, self._config.host.tls) if shown else ""

    def _cors(self, origin: str) -> list[tuple[bytes, bytes]]:
        if not origin or not {origin, "*"} & self._config.origins:
            return []
        return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin")]


def _field(headers: Headers, name: bytes) -> bytes:
    """The value of a field; of several the one list that they are (RFC 9110, section 5.3)."""
    return b",".join(value for field, value in headers if field.lower() == name)


async def _preflight(send: Send, cors: list[tuple[bytes, bytes]]) -> None:
    more = [
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", ALLOWED_HEADERS),
        (b"access-control-max-age", b"7200"),
    ]
    status = 204 if cors else 403
    await send({"type": "http.response.start", "status": status, "headers": [*cors, *(more if cors else ())]})
    await send({"type": "http.response.body", "body": b""})


def _with(send: Send, fields: list[tuple[bytes, bytes]]) -> Send:
    """A `send` that adds header fields to the response."""
    if not fields:
        return send

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *fields]}
        await send(message)

    return sending
