"""Two streams of the platform as one transport: by the event loop where it can wait for them, else by threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...platform import adopt_pipes
from .pair import open_pipe_pair

__all__ = ["open_pipes"]


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
