"""The runtime's listeners in the network: plugins of other machines register there, and who is allowed calls plugins.

Each connection has an identity, by its certificate, before it is answered. What it may have, `policy` says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from ...connect import Code, RpcError
from ...contract.address import NetworkAddress
from ...exchange import FastPathCall, RequestHead
from ...http import Server
from ...link.app import HEALTH, HIJACK, answer, refuse
from ...link.link import Peer
from ...network.listener import NetworkListener
from ...network.proxy_header import networks
from ...network.remote_end import RemoteEnd
from ...platform import ListenError
from ..logs.flood import FloodLog
from ..settings import Permissions
from .policy import NOTHING, Allowed, Policy

if TYPE_CHECKING:
    from ...network.tls import TLS
    from .app import SocketApp

__all__ = ["NetworkSocket"]

logger = logging.getLogger("plugmux.runtime")


class NetworkApp:
    """What a runtime serves in the network: the app of its sockets, to those who may call it.

    Args:
        inner: the app of the sockets.
        permissions: what the host allows.
    """

    def __init__(self, inner: SocketApp, permissions: Permissions) -> None:
        self._inner = inner
        self._admits_plugins = "plugins" in permissions.socket
        self.policy = Policy(permissions.allow)

    def fast_path(self, head: RequestHead) -> FastPathCall | None:
        """Take a unary call to one of the runtime's own services straight, if the caller may call it."""
        allowed = head.connection.get("allowed")
        if isinstance(allowed, Allowed) and allowed.may_call(head.path):
            return self._inner.fast_path(head)
        return None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        connection = scope["extensions"]["plugmux.connection"]
        end: RemoteEnd = connection["end"]
        allowed: Allowed = connection["allowed"]
        if scope["path"] == HEALTH:
            await answer(send, 200, b"ok")
        elif not end.identity and scope["scheme"] == "https":
            await answer(send, 403, end.why.encode())
        elif scope["path"] == HIJACK and self._admits_plugins:
            await self._inner(scope, receive, send)
        elif scope["path"] == HIJACK or not allowed.may_call(scope["path"]):
            who = end.identity or "who has no certificate"
            told = f"{who} may not call {scope['path']} here (Permissions.allow)"
            await refuse(scope, send, RpcError(Code.PERMISSION_DENIED, told))
        else:
            await self._inner(scope, receive, send)


class NetworkSocket:
    """One listener in the network.

    Args:
        address: where to listen.
        app: the app of the sockets.
        permissions: what the host allows.
        tls: the certificate of the host.

    Raises:
        ConfigError: the address cannot be listened at, there is no certificate, or `Permissions.allow` is not valid.
    """

    def __init__(self, address: NetworkAddress, app: SocketApp, permissions: Permissions, tls: TLS | None) -> None:
        self._app = NetworkApp(app, permissions)
        self._floods = FloodLog(logger)
        self.server = Server(self._app, lifespan=False)
        self._listener = NetworkListener(
            address, tls, self._serve, self._floods.warn, proxies=networks(sorted(permissions.proxies))
        )

    @property
    def address(self) -> NetworkAddress:
        """Where it listens."""
        return self._listener.address

    def _serve(self, end: RemoteEnd) -> asyncio.Protocol:
        peer = Peer(end.identity or end.address, identity=end.identity, address=end.address)
        if end.why and end.shown:
            self._floods.warn("identity", f"refused a connection of {end.address} at {self.address}: {end.why}")
        # A certificate that names nobody is refused, and has not even what everybody may have.
        allowed = NOTHING if end.shown and not end.identity else self._app.policy.of(end.identity)
        return self.server.protocol(peer=peer, end=end, allowed=allowed, secrets=allowed.secrets)

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ListenError: it cannot.
        """
        try:
            await self._listener.start()
        except OSError as error:
            raise ListenError(f"cannot listen at {self.address}: {error.strerror or error}") from None

    async def close(self) -> None:
        """Stop listening; connections go on."""
        await self._listener.close()
        self._floods.close()
