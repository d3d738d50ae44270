"""Connects to an address in the network, and knows who answers before anything is sent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..contract.address import NetworkAddress
from ..errors import ConfigError, PlugmuxError
from .alerts import alerts_by
from .identity import UntrustedIdentity
from .refusal import handshake_refusal
from .remote_end import RemoteEnd, tune

if TYPE_CHECKING:
    from .tls import TLS

__all__ = ["CONNECT_TIMEOUT", "ConnectFailed", "connect"]

CONNECT_TIMEOUT = 5.0
"""Seconds for the connection and the handshake together."""

HAPPY_EYEBALLS_DELAY = 0.25
"""Seconds after which the next address of a host is tried beside the first (RFC 8305)."""

AnyProtocol = TypeVar("AnyProtocol", bound=asyncio.BaseProtocol)


class ConnectFailed(PlugmuxError):
    """No connection to an address, or not to whom it should lead; nothing was sent."""


async def connect(
    address: NetworkAddress,
    factory: Callable[[], AnyProtocol],
    tls: TLS | None,
    expect: Callable[[RemoteEnd], None],
    *,
    host_name: str = "",
    timeout: float = CONNECT_TIMEOUT,
    context: ssl.SSLContext | None = None,
) -> tuple[asyncio.Transport, AnyProtocol, RemoteEnd]:
    """Connect.

    Args:
        address: where to; not one that is looked up.
        factory: makes the protocol of the connection, which sends nothing by itself.
        tls: the certificate of this end; not needed for `tcp://`.
        expect: raises `UntrustedIdentity` where the other end is not the right one. Called for TLS alone.
        host_name: the name that the address was looked up from, which the other end is told (SNI).
        timeout: seconds for all of it.
        context: the context of the handshake, where it is not that of `tls`.

    Raises:
        ConfigError: the address needs TLS, and there is none; or it cannot be dialled.
        ConnectFailed: nothing listens there, or another one.
        HandshakeFailed: one end has refused the other's certificate.
    """
    if not address.port:
        raise ConfigError(f"{address} cannot be dialled: port 0 is for listening alone")
    if address.is_secure and context is None:
        if tls is None:
            raise ConfigError(
                f"{address} needs a certificate: set PLUGMUX_TLS_DIR, or PLUGMUX_TLS_CERT, PLUGMUX_TLS_KEY and "
                "PLUGMUX_TLS_CA, or give TLS(...)"
            )
        context = tls.client_context()
    try:
        async with asyncio.timeout(timeout):
            transport, protocol = await _connect(address, factory, context, host_name or address.host)
    except TimeoutError as error:
        raise ConnectFailed(f"{address}: it did not answer within {timeout:g} s") from error
    except ssl.SSLError as error:
        raise handshake_refusal(address, error, tls, by_server=True) from error
    except (ConnectionResetError, BrokenPipeError) as error:
        raise handshake_refusal(address, error, tls, by_server=True) from error
    except OSError as error:
        raise ConnectFailed(f"{address}: {_reason(error)}") from error
    end = RemoteEnd.of(transport)
    try:
        tune(transport)
        if context is not None:
            expect(end)
    except UntrustedIdentity as error:
        transport.abort()
        raise ConnectFailed(f"{address}: {error}") from error
    return transport, protocol, end


async def _connect(
    address: NetworkAddress, factory: Callable[[], AnyProtocol], context: ssl.SSLContext | None, host_name: str
) -> tuple[asyncio.Transport, AnyProtocol]:
    """A connection whose handshake is done, and whose protocol has begun."""
    loop = asyncio.get_running_loop()
    where: dict[str, Any] = {"host": address.host, "port": address.port}
    if isinstance(loop, asyncio.BaseEventLoop):  # uvloop tries one address after the other.
        where["happy_eyeballs_delay"] = HAPPY_EYEBALLS_DELAY
    if context is None:
        return await loop.create_connection(factory, **where)
    below, _ = await loop.create_connection(asyncio.Protocol, **where)
    protocol = factory()
    try:
        with alerts_by(below.write):
            transport = await loop.start_tls(below, protocol, context, server_hostname=host_name)
    except BaseException:
        below.abort()
        raise
    assert transport is not None
    protocol.connection_made(transport)
    return transport, protocol


def _reason(error: OSError) -> str:
    """Why, in few words: asyncio joins the failures of several addresses to a long line."""
    import os

    if isinstance(error, ConnectionRefusedError):  # Windows tells it by several numbers.
        return "connection refused"
    if error.errno is not None and error.errno > 0 and getattr(error, "winerror", None) is None:
        return os.strerror(error.errno).lower()
    return str(error.strerror or error)
