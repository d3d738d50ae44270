"""A client transport over TLS with certificates at both ends: a connection of its own for each request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from ..contract.address import NetworkAddress
from ..errors import ExchangeError, PlugmuxError
from ..http.client import AnyTrip, SocketClient
from ..http.heads import HeadCache
from ..network.connect import connect
from ..network.remote_end import RemoteEnd, accept_runtime

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from ..network.tls import TLS

__all__ = ["NetworkClient"]


class NetworkClient(SocketClient):
    """Sends each request to a runtime on another machine (an `exchange.ClientTransport`).

    Args:
        address: where the runtime listens.
        tls: the certificate of this end, and whose runtime it accepts.
        plugin: as in `SocketClient`.
        context: the context of the handshake, where it is not that of `tls`.
        expect: raises `UntrustedIdentity` where the other end is not the right one; by default where it is no runtime
            that `tls` accepts.

    Raises:
        ConfigError: `plugin` is no plugin's name.
    """

    def __init__(
        self,
        address: NetworkAddress,
        tls: TLS | None,
        *,
        plugin: str | None = None,
        context: ssl.SSLContext | None = None,
        expect: Callable[[RemoteEnd], None] | None = None,
    ) -> None:
        self._where = address
        self._tls = tls
        self._context = context
        self._expect = expect or self._expect_runtime
        self._cache = HeadCache()
        self._host = b"host: localhost\r\n"
        self._name_plugin(plugin)

    async def _opened(self, trip: AnyTrip) -> tuple[asyncio.Transport, AnyTrip]:
        try:
            made = cast("asyncio.Protocol", trip)
            transport, _, _ = await connect(self._where, lambda: made, self._tls, self._expect, context=self._context)
        except PlugmuxError as error:
            raise ExchangeError(str(error), sent=False) from error
        return transport, trip

    def _expect_runtime(self, end: RemoteEnd) -> None:
        accept_runtime(end, self._tls.peers if self._tls is not None else (), self._where.host)
