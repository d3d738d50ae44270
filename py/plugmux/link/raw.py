"""Raw streams: a reader and a writer like those of asyncio, and the handler that serves a stream.

The reader counts the bytes that have not been read yet, as memory of the link. A stream that was reset drops them. Its
handler can neither read nor write any more, and is cancelled after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, SupportsIndex, TypeAlias

__all__ = ["STREAM_BUFFER", "STREAM_PROTOCOL", "RawStreamReader", "StreamHandler", "serve_stream"]

StreamHandler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one raw stream. The stream is closed when the handler returns, and reset when it raises.

When the peer resets the stream, reading raises and nothing can be written. A handler that does not end is cancelled
after 5 seconds.
"""

STREAM_PROTOCOL: Final = b"plugmux-stream"
RESET_GRACE: Final = 5.0
"""Seconds that a handler may run after its stream was reset."""

STREAM_BUFFER: Final = 256 * 1024
"""Half of the bytes that wait for the reader of a raw stream before the peer gets no more credit."""
REPORT_STEP: Final = 4096
"""Bytes by which the reported count may be wrong. Reporting every line that is read would cost more than reading it."""


class RawStreamReader(asyncio.StreamReader):
    """Reads a stream; the bytes that wait here count against the memory of the link."""

    _buffer: bytearray
    _waiter: asyncio.Future[None] | None

    def __init__(self) -> None:
        super().__init__(STREAM_BUFFER)
        self._reported = 0
        self._count: Callable[[int], object] | None = None

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        super().set_transport(transport)
        self._count = getattr(transport, "hold", None)

    def set_exception(self, exc: Exception) -> None:
        """Drop the waiting bytes, because reading raises from now on: the stream was reset."""
        self._buffer.clear()
        super().set_exception(exc)

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        # Who waits for bytes takes these in the loop's next turn, and what it leaves is counted then.
        is_taken = self._waiter is not None and not self._buffer
        super().feed_data(data)
        if not is_taken:
            self._report()

    def _maybe_resume_transport(self) -> None:
        """Report the count after a read; asyncio calls this at the end of every read."""
        super()._maybe_resume_transport()  # type: ignore[misc]  # typeshed leaves it out
        self._report()

    def _report(self) -> None:
        size = len(self._buffer)
        if self._count is not None and (abs(size - self._reported) >= REPORT_STEP or (self._reported and not size)):
            self._reported = size
            self._count(size)


class _Served(asyncio.StreamReaderProtocol):
    """The protocol of a served stream; cancels the handler if it does not end after the stream was reset."""

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
    """Switch a connection to a raw stream, and run its handler.

    Args:
        handler: serves the stream.
        upgrade: switches the connection (`scope["extensions"]["plugmux.upgrade"]`).
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
