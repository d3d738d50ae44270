"""How a plugin that starts by itself reaches a runtime: an HTTP upgrade on the runtime's socket.

(wire.md section 3.) Bytes behind the answer's head belong to yamux already; `http.upgrade` hands them on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from ..aio.local_peer import PeerUsers, UntrustedPeer, connect_unix
from ..contract.address import Address
from ..errors import PlugmuxError
from ..http import upgrade

__all__ = ["DIAL_TIMEOUT", "DialError", "connect", "dial"]

DIAL_TIMEOUT = 2.0
HIJACK_PATH = "/hijack"
HIJACK_HEADERS = [(b"host", b"secrets-engine.localhost"), (b"upgrade", b"tcp")]


class DialError(PlugmuxError):
    """No runtime could be reached at an address; the message says why."""


async def dial(
    address: Address,
    factory: Callable[[], asyncio.BaseProtocol],
    timeout: float = DIAL_TIMEOUT,
    users: PeerUsers | None = None,
) -> None:
    """Connect to a runtime's socket and make the connection a link.

    Args:
        address: where the runtime listens.
        factory: makes the protocol that takes the connection over, as a rule a link's mux.
        timeout: seconds for the connection and the upgrade together.
        users: whose runtime is trusted; by default one's own user's and root's, and whom `PLUGMUX_PEER_USERS` names.

    Raises:
        DialError: nobody listens there, it is another user's or no runtime, or it did not answer in time.
    """
    sock = None
    try:
        async with asyncio.timeout(timeout):
            sock = await connect_unix(address.sockaddr, users or PeerUsers(), address)
            transport, _ = await asyncio.get_running_loop().create_unix_connection(asyncio.Protocol, sock=sock)
            await upgrade(transport, HIJACK_PATH, HIJACK_HEADERS, factory, timeout)
    except TimeoutError:
        _close(sock)
        raise DialError(f"the runtime at {address} did not answer within {timeout:g} s") from None
    except UntrustedPeer as error:
        raise DialError(f"no runtime at {address} is dialled: {error}") from error
    except (OSError, PlugmuxError) as error:
        _close(sock)
        raise DialError(f"no runtime at {address}: {error}; start one there, or set PLUGMUX_SOCKET") from error


async def connect(path: str, timeout: float, users: PeerUsers | None = None) -> socket.socket:
    """Connect to the socket that a launch names; the connection is the link as it is.

    Args:
        path: the socket's path.
        timeout: seconds for the connection.
        users: whose runtime is trusted; by default one's own user's and root's, and whom `PLUGMUX_PEER_USERS` names.

    Raises:
        DialError: nobody listens there, or another user does.
    """
    try:
        async with asyncio.timeout(timeout):
            return await connect_unix(path, users or PeerUsers())
    except TimeoutError:
        why = f"it has taken no connection within {timeout:g} s"
    except (OSError, PlugmuxError) as error:
        why = str(error)
    raise DialError(f"the runtime that launched this plugin cannot be reached at {path!r}: {why}")


def _close(sock: socket.socket | None) -> None:
    if sock is not None:
        sock.close()
