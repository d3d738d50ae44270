"""What asyncio's transports lack: feeding any protocol, handing over, resetting, reading what is left."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast

__all__ = ["abort_with_rst", "feed", "pieces", "report_held", "switch_protocol", "unread", "write_pieces"]

NO_LINGER: Final = struct.pack("ii", 1, 0)
PIECE: Final = 64 * 1024
MAX_UNREAD: Final = 16 * 1024 * 1024
"""Bytes that are read of a lost connection at most, more than any kernel buffers: a peer may still be writing."""

WRITELINES_PAUSES: Final = not ((3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2))
"""Whether `writelines` of asyncio tells a protocol to pause when its buffer is full. (CVE-2024-12254)"""


def write_pieces(transport: asyncio.WriteTransport, pieces: Sequence[bytes]) -> None:
    """Write several pieces, uncopied where asyncio then still tells the protocol to pause."""
    if WRITELINES_PAUSES and len(pieces) > 1:
        transport.writelines(pieces)
    else:
        transport.write(b"".join(pieces))  # which copies nothing where there is one


def feed(protocol: asyncio.BaseProtocol, data: bytes) -> None:
    """Give bytes to a protocol of either kind, as a transport would; it need not have asyncio's base class.

    Raises:
        RuntimeError: a `BufferedProtocol` gave an empty buffer.
    """
    if not isinstance(protocol, asyncio.BufferedProtocol):
        cast("asyncio.Protocol", protocol).data_received(data)
        return
    rest = memoryview(data)
    while rest:
        buffer = memoryview(protocol.get_buffer(len(rest))).cast("B")
        size = min(len(buffer), len(rest))
        if not size:
            raise RuntimeError("get_buffer() returned an empty buffer")
        buffer[:size] = rest[:size]
        protocol.buffer_updated(size)
        rest = rest[size:]


def switch_protocol(
    transport: asyncio.Transport, protocol: asyncio.BaseProtocol, rest: bytes, *, answer: bytes = b""
) -> None:
    """Give a transport to another protocol, in the order that loses nothing.

    First the new protocol takes the connection over; then the answer goes out, after which the peer begins to speak the
    new protocol; last come the bytes that were read behind the head, the first of the new protocol. (docs/wire.md
    section 3.)

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

    A body that is delimited by the end of the connection (HTTP/1.0) looks whole after FIN, so TCP must end with RST. A
    mux stream is reset by `abort`; the socket that it knows is its link's, which goes on.
    """
    sock = transport.get_extra_info("socket")
    if (
        sock is not None
        and sock.family != getattr(socket, "AF_UNIX", None)
        and transport.get_extra_info("stream_id") is None
    ):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()


def report_held(transport: asyncio.Transport, size: int) -> None:
    """Tell a transport how many received bytes are kept, if it counts them, as a mux stream does."""
    hold = getattr(transport, "hold", None)
    if hold is not None:
        hold(size)


def unread(transport: asyncio.BaseTransport) -> Iterator[bytes]:
    """Read what is left in the socket of a lost connection; an empty piece is the peer's end of the stream.

    A peer that writes its last bytes and closes leaves them in our socket. If a write of ours fails before they are
    read, the event loop gives the connection up and never reads them. Call this before `connection_lost` returns,
    because the event loop closes the socket then. It gives nothing where there is no plain socket, as under TLS.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or transport.get_extra_info("sslcontext") is not None:
        return
    try:
        with sock.dup() as copy:
            copy.setblocking(False)
            yield from pieces(copy.recv)
    except OSError:
        return  # nothing more can be read: the peer reset the connection, or is still there and has sent nothing


def pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """What `read` gives, up to a bound; an empty piece is the end of the stream and the last."""
    left = MAX_UNREAD
    while left > 0:
        data = read(PIECE)
        yield data
        if not data:
            return
        left -= len(data)
