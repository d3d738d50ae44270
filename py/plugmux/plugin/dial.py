"""How a plugin that starts by itself reaches a runtime: an HTTP upgrade on the runtime's socket.

(wire.md section 3.) Bytes behind the answer's head belong to yamux already; `http.upgrade` hands them on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from ..contract.address import Address
from ..errors import PlugmuxError
from ..http import upgrade

__all__ = ["DIAL_TIMEOUT", "DialError", "connect", "dial"]

DIAL_TIMEOUT = 2.0
HIJACK_PATH = "/hijack"
HIJACK_HEADERS = [(b"host", b"secrets-engine.localhost"), (b"upgrade", b"tcp")]


class DialError(PlugmuxError):
    """No runtime could be reached at an address; the message says why."""


async def dial(address: Address, factory: Callable[[], asyncio.BaseProtocol], timeout: float = DIAL_TIMEOUT) -> None:
    """Connect to a runtime's socket and make the connection a link.

    Args:
        address: where the runtime listens.
        factory: makes the protocol that takes the connection over, as a rule a link's mux.
        timeout: seconds for the connection and the upgrade together.

    Raises:
        DialError: nobody listens there, it is no runtime, or it did not answer in time.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            await loop.sock_connect(sock, address.sockaddr)
            transport, _ = await loop.create_unix_connection(asyncio.Protocol, sock=sock)
            await upgrade(transport, HIJACK_PATH, HIJACK_HEADERS, factory, timeout)
    except TimeoutError:
        sock.close()
        raise DialError(f"the runtime at {address} did not answer within {timeout:g} s") from None
    except (OSError, PlugmuxError) as error:
        sock.close()
        raise DialError(f"no runtime at {address}: {error}; start one there, or set PLUGMUX_SOCKET") from error


async def connect(path: str, timeout: float) -> socket.socket:
    """Connect to the socket that a launch names; the connection is the link as it is.

    Args:
        path: the socket's path.
        timeout: seconds for the connection.

    Raises:
        DialError: nobody listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(sock, path)
    except (OSError, TimeoutError) as error:
        sock.close()
        raise DialError(f"the runtime that launched this plugin cannot be reached at {path!r}: {error}") from error
    except BaseException:
        sock.close()
        raise
    return sock
