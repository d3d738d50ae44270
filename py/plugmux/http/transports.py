"""What HTTP does with a transport beside reading and writing: hand it over, break it off, tell it what is kept."""

from __future__ import annotations

import asyncio
import socket
import struct

from ..aio.pipes import feed

__all__ = ["abort_with_rst", "count", "switch_protocol"]

NO_LINGER = struct.pack("ii", 1, 0)


def switch_protocol(
    transport: asyncio.Transport, protocol: asyncio.BaseProtocol, rest: bytes, *, answer: bytes = b""
) -> None:
    """Give a transport to another protocol, in the order that loses nothing.

    First the new protocol takes the connection over, then the answer goes out that lets the peer begin to speak it, and
    last come the bytes that were read behind the head: they are the first of the new protocol. (wire.md section 3.)

    Args:
        transport: an asyncio transport, which must not be paused.
        protocol: a `Protocol` or a `BufferedProtocol`.
        rest: what has been read behind the head.
        answer: what to write before the new protocol does.
    """
    transport.set_protocol(protocol)
    if answer:
        transport.write(answer)
    protocol.connection_made(transport)
    if rest:
        feed(protocol, rest)


def abort_with_rst(transport: asyncio.Transport) -> None:
    """Abort a connection so that the caller cannot take half a response for a whole one.

    A body that reaches to the end of the connection (HTTP/1.0) looks whole after FIN, so TCP must end with RST. A mux
    stream is reset by `abort`; the socket that it knows is its link's, and none of ours.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX and transport.get_extra_info("stream_id") is None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()


def count(transport: asyncio.Transport, size: int) -> None:
    """Tell a transport how many bytes are kept of what came on it, if it counts them, as a mux stream does."""
    hold = getattr(transport, "hold", None)
    if hold is not None:
        hold(size)
