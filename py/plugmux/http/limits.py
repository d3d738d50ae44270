"""What a server allows its peers: sizes and times."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an HTTP server allows each connection.

    Args:
        head_bytes: size of a request's head, in bytes; more is answered with 431.
        head_seconds: time for a request's head, from the opening of the connection or the head's first byte; an
            unfinished head is then answered with 408.
        idle_seconds: time that a kept connection may stay without a new request.
        body_seconds: time without any progress while the server itself collects a request's body (the direct entry);
            then 408. An ASGI app that waits for a body sets its own limit.
        buffer_bytes: how much of a body, or of pipelined requests, is read ahead of the app. Memory per connection
            stays below this plus one read of the transport.
        write_seconds: time in which a caller takes nothing of a response that is sent to it; then the connection is cut
            off.
        linger_seconds: how long the rest of a request that nobody will read is thrown away after the response, so
            that the response is not lost with it.
    """

    head_bytes: int = 64 * 1024
    head_seconds: float = 15.0
    idle_seconds: float = 75.0
    body_seconds: float = 60.0
    buffer_bytes: int = 64 * 1024
    write_seconds: float = 300.0
    linger_seconds: float = 2.0
