"""A connection that changes its protocol: what both ends of an HTTP upgrade need."""

from __future__ import annotations

import asyncio

from ..pipes import feed

__all__ = ["hand_over"]


def hand_over(
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
