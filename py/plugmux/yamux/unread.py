"""What a connection still holds when it is lost.

A peer that writes its last bytes and closes leaves them in our socket. If a write of ours fails before they are read,
the event loop gives the connection up and never reads them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Final

__all__ = ["unread"]

PIECE: Final = 64 * 1024
MAX_UNREAD: Final = 16 * 1024 * 1024
"""Bytes that are read at most, more than any kernel buffers: a peer that still writes is not followed for ever."""


def unread(transport: asyncio.BaseTransport) -> Iterator[bytes]:
    """Read what is left in the socket of a lost connection; an empty piece is the peer's end of the stream.

    It gives nothing where there is no plain socket, as under TLS. It is to be called before `connection_lost` returns,
    because the event loop closes the socket then.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or transport.get_extra_info("sslcontext") is not None:
        return
    try:
        with sock.dup() as copy:
            copy.setblocking(False)
            yield from _pieces(copy)
    except OSError:
        return  # nothing more can be read: the peer reset the connection, or is still there and has sent nothing


def _pieces(sock: socket.socket) -> Iterator[bytes]:
    left = MAX_UNREAD
    while left > 0:
        data = sock.recv(PIECE)
        yield data
        if not data:
            return
        left -= len(data)
