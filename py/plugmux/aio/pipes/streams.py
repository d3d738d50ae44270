"""Streams of the platform as transports: by the event loop where it can wait for them, else by threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...platform import LocalStream, adopt_pipes, attach_stream, blocking_pipes
from .pair import open_pipe_pair

__all__ = ["open_pipes", "open_stream"]


async def open_pipes(
    factory: Callable[[], asyncio.BaseProtocol], read: int, write: int
) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
    """Join two pipes into one connection and run a protocol on it.

    Args:
        factory: makes the protocol.
        read: the stream to read from; it then belongs to the connection.
        write: the stream to write to; likewise.

    Returns:
        The transport and the protocol, after `connection_made`.

    Raises:
        ValueError: one of the two is not a pipe. When this fails or is cancelled, both are closed.
    """
    pipes = adopt_pipes(read, write)
    if isinstance(pipes, tuple):
        return await open_pipe_pair(factory, *pipes)
    # On Windows alone: in a plugin, and where the event loop waits for no pipes.
    from .threads import open_threaded_pipes

    return open_threaded_pipes(factory, pipes)


async def open_stream(
    factory: Callable[[], asyncio.BaseProtocol], stream: LocalStream
) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
    """Run a protocol on a connected socket or named pipe.

    Args:
        factory: makes the protocol.
        stream: the connection; it then belongs to the transport. When this fails or is cancelled, it is closed.

    Returns:
        The transport and the protocol, after `connection_made`.
    """
    pipes = blocking_pipes(stream)
    if pipes is None:
        return await attach_stream(stream, factory)
    from .threads import open_threaded_pipes

    return open_threaded_pipes(factory, pipes)
