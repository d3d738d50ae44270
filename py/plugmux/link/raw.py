"""The reader of a raw stream: asyncio's own, of which it is counted how much nobody has read yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, SupportsIndex

__all__ = ["STREAM_BUFFER", "RawStreamReader"]

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
