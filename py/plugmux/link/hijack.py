"""Makes a connection a link: who dials asks for it by an HTTP upgrade. (docs/wire.md section 3.)"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..contract.address import NetworkAddress
from ..errors import ExchangeError
from ..http import upgrade
from ..network.connect import CONNECT_TIMEOUT, ConnectFailed, connect
from ..network.refusal import handshake_refusal
from ..yamux import Config
from .app import HIJACK, HIJACK_HEADERS

if TYPE_CHECKING:
    from ..network.remote_end import RemoteEnd
    from ..network.tls import TLS
    from .link import Link

__all__ = ["HIJACK_TIMEOUT", "dial_link", "network_config"]

HIJACK_TIMEOUT = 5.0
"""Seconds that the other end may take to make a connection over a network a link."""


KEEP_ALIVE = 10.0
"""Seconds of silence after which a peer in the network is asked whether it is there, and that it has to answer."""


def network_config(given: Config | None) -> Config:
    """The settings of a link over a network: whether the peer is there is found out within 20 s, whoever is silent.

    Args:
        given: the settings of the program, which count where they are given.
    """
    if given is None:
        return Config(enable_keep_alive=True, keep_alive_interval=KEEP_ALIVE, connection_write_timeout=KEEP_ALIVE)
    return given if given.enable_keep_alive is not None else replace(given, enable_keep_alive=True)


async def dial_link(
    link: Link,
    address: NetworkAddress,
    tls: TLS | None,
    expect: Callable[[RemoteEnd], None],
    *,
    host_name: str = "",
    timeout: float = CONNECT_TIMEOUT,
) -> None:
    """Connect a link to an address in the network; the link's peer has the identity and the address from then on.

    Args:
        link: the link.
        address: where the other end listens.
        tls: the certificate of this end.
        expect: raises `UntrustedIdentity` where the other end is not the right one.
        host_name: the name that the address was looked up from.
        timeout: seconds for the connection.

    Raises:
        ConfigError: there is no certificate.
        ConnectFailed: nothing listens there, or another one; or it does not take links.
        HandshakeFailed: one end has refused the other's certificate.
    """
    transport, _, end = await connect(address, asyncio.Protocol, tls, expect, host_name=host_name, timeout=timeout)
    link.peer = link.peer._replace(identity=end.identity, address=end.address)
    try:
        await upgrade(transport, HIJACK, HIJACK_HEADERS, lambda: link.mux, HIJACK_TIMEOUT)
    except TimeoutError as error:
        raise ConnectFailed(f"{address}: it did not make the connection a link within {HIJACK_TIMEOUT:g} s") from error
    except ExchangeError as error:
        # With TLS 1.3, who dials learns only now that its certificate was refused.
        if isinstance(error.__cause__, ssl.SSLError):
            raise handshake_refusal(address, error.__cause__, tls, by_server=True) from error
        raise ConnectFailed(f"{address}: {error}") from error
