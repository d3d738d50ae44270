"""Raw streams: a reader and a writer as asyncio's, and the handler that serves one.

It is counted how much of a stream nobody has read yet. A stream that was reset holds nothing, and its handler not for
long: it could neither read nor write any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, SupportsIndex, TypeAlias

__all__ = ["STREAM_BUFFER", "STREAM_PROTOCOL", "RawStreamReader", "StreamHandler", "serve_stream"]

StreamHandler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one raw stream; the stream is closed when it returns and reset when it raises.

When the peer resets the stream, reading raises and nothing can be written; a handler that goes on is cancelled after 5
seconds.
"""

STREAM_PROTOCOL: Final = b"plugmux-stream"
RESET_GRACE: Final = 5.0
"""Seconds that a handler may go on after its stream was reset."""

STREAM_BUFFER: Final = 256 * 1024
"""Half of the bytes that are held for the reader of a raw stream before the peer gets no more credit."""
WORTH_TELLING: Final = 4096
"""Bytes by which a count may be wrong; to be exact for every line that is read would cost more than the reading."""


class RawStreamReader(asyncio.StreamReader):
    """Reads a stream; what has come and waits here counts against the memory of the stream's link."""

    _buffer: bytearray

    def __init__(self) -> None:
        super().__init__(STREAM_BUFFER)
        self._told = 0
        self._count: Callable[[int], object] | None = None

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        super().set_transport(transport)
        self._count = getattr(transport, "hold", None)

    def set_exception(self, exc: Exception) -> None:
        """Take note that the stream was reset; what has come is dropped, because reading raises from now on."""
        self._buffer.clear()
        super().set_exception(exc)

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        super().feed_data(data)
        self._tell()

    def _maybe_resume_transport(self) -> None:
        """Take note that something has been read (asyncio calls this behind whatever reads)."""
        super()._maybe_resume_transport()  # type: ignore[misc]
        self._tell()

    def _tell(self) -> None:
        size = len(self._buffer)
        if self._count is not None and (abs(size - self._told) >= WORTH_TELLING or (self._told and not size)):
            self._told = size
            self._count(size)


class _Served(asyncio.StreamReaderProtocol):
    """Runs under a handler, and cancels it when it goes on for long after its stream was reset."""

    def __init__(self, reader: RawStreamReader) -> None:
        super().__init__(reader)
        self._handling = asyncio.current_task()
        self.timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if exc is not None and self._handling is not None:
            self.timer = asyncio.get_running_loop().call_later(RESET_GRACE, self._handling.cancel)


async def serve_stream(
    handler: StreamHandler, upgrade: Callable[..., Awaitable[tuple[asyncio.Transport, Any]]]
) -> None:
    """Take a connection over for a raw stream, and run its handler.

    Args:
        handler: serves the stream.
        upgrade: hands the connection over (`scope["extensions"]["plugmux.upgrade"]`).
    """
    reader = RawStreamReader()
    transport, protocol = await upgrade(lambda: _Served(reader), headers=[(b"upgrade", STREAM_PROTOCOL)])
    writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
    try:
        await handler(reader, writer)
        writer.close()
        await writer.wait_closed()
    except BaseException:
        transport.abort()
        raise
    finally:
        if protocol.timer is not None:
            protocol.timer.cancel()
