"""Connects a plugin that starts by itself to a runtime, by an HTTP upgrade on the runtime's socket.

(docs/wire.md section 3.) Bytes after the head of the response belong to yamux; `http.upgrade` passes them on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..aio.local_peer import PeerUsers, UntrustedPeer, connect_trusted
from ..aio.pipes import open_stream
from ..contract.address import Address
from ..errors import PlugmuxError
from ..http import upgrade
from ..link.app import HIJACK, HIJACK_HEADERS
from ..platform import LocalStream

__all__ = ["DIAL_TIMEOUT", "DialError", "connect", "dial"]

DIAL_TIMEOUT = 2.0


class DialError(PlugmuxError):
    """No runtime could be reached at an address; the message tells why."""


async def dial(
    address: Address,
    factory: Callable[[], asyncio.BaseProtocol],
    timeout: float = DIAL_TIMEOUT,
    users: PeerUsers | None = None,
) -> None:
    """Connect to a runtime's socket and make the connection a link.

    Args:
        address: where the runtime listens.
        factory: makes the protocol that the connection is switched to, as a rule a link's mux.
        timeout: seconds for the connection and the upgrade together.
        users: the users whose runtime is trusted; by default this process' user, root, and those that
            `PLUGMUX_PEER_USERS` names.

    Raises:
        DialError: nothing listens there, another user or another program does, or it did not answer in time.
    """
    try:
        async with asyncio.timeout(timeout):
            stream = await connect_trusted(address.sockaddr, users or PeerUsers(), address)
            transport, _ = await open_stream(asyncio.Protocol, stream)
            await upgrade(transport, HIJACK, HIJACK_HEADERS, factory, timeout)
    except TimeoutError:
        raise DialError(f"the runtime at {address} did not answer within {timeout:g} s") from None
    except UntrustedPeer as error:
        raise DialError(f"the runtime at {address} is not trusted: {error}") from error
    except (OSError, PlugmuxError) as error:
        raise DialError(f"no runtime at {address}: {error}; start one there, or set PLUGMUX_SOCKET") from error


async def connect(path: str, timeout: float, users: PeerUsers | None = None) -> LocalStream:
    """Connect to the socket that a launch configuration names; the connection carries the link without an upgrade.

    Args:
        path: the socket's path.
        timeout: seconds for the connection.
        users: the users whose runtime is trusted; by default this process' user, root, and those that
            `PLUGMUX_PEER_USERS` names.

    Raises:
        DialError: nothing listens there, or another user does.
    """
    try:
        async with asyncio.timeout(timeout):
            return await connect_trusted(path, users or PeerUsers())
    except TimeoutError:
        why = f"it has accepted no connection within {timeout:g} s"
    except (OSError, PlugmuxError) as error:
        why = str(error)
    raise DialError(f"the runtime that launched this plugin cannot be reached at {path!r}: {why}")
