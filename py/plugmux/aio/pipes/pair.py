"""Two one-way pipes that the event loop serves, as one transport.

asyncio gives each pipe a transport of its own; a `PipePair` joins them into one connection, which is lost once, when
either pipe is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from io import IOBase
from typing import Any, BinaryIO, Final

from ..transports import feed, pieces

__all__ = ["LAST_READ_TIME", "PipePair", "open_pipe_pair"]

LAST_READ_TIME: Final = 1.0
"""Seconds that a connection is still read after the peer has stopped reading: it may have written something before."""


class PipePair(asyncio.Transport):
    """A bidirectional transport over a readable and a writable pipe."""

    def __init__(self, protocol: asyncio.BaseProtocol, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._protocol = protocol
        self._reading: asyncio.ReadTransport | None = None
        self._writing: asyncio.WriteTransport | None = None
        self._closing = False
        self._ended = False
        self._lost = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "reading_pipe":
            return self._reading.get_extra_info("pipe", default) if self._reading else default
        return self._writing.get_extra_info(name, default) if self._writing else default

    def is_closing(self) -> bool:
        return self._lost or self._writing is None or self._writing.is_closing()

    def is_reading(self) -> bool:
        return self._reading is not None and self._reading.is_reading()

    def pause_reading(self) -> None:
        if self._reading:
            self._reading.pause_reading()

    def resume_reading(self) -> None:
        if self._reading:
            self._reading.resume_reading()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._writing and not self._writing.is_closing():
            self._writing.write(bytes(data))

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._writing:
            self._writing.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._writing.get_write_buffer_size() if self._writing else 0

    def close(self) -> None:
        """Flush what was written, then close both pipes."""
        self._closing = True
        if self._writing:
            self._writing.close()

    def abort(self) -> None:
        """Close both pipes at once."""
        self._closing = True
        # One that closes and has nothing to write is told of its end already; asyncio would tell it twice.
        if self._writing and (not self._writing.is_closing() or self._writing.get_write_buffer_size()):
            self._writing.abort()
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        if self._reading:
            self._reading.close()
        if self._writing and not self._writing.is_closing():
            self._writing.abort()
        self._protocol.connection_lost(error)

    def _received(self, data: bytes) -> None:
        feed(self._protocol, data)

    def _peer_stopped_reading(self, error: Exception | None) -> None:
        """Read what the peer wrote before it closed its ends, and lose the pair."""
        if not self._closing and not self._lost:
            if not isinstance(self._source, IOBase):  # A handle of Windows, which the event loop alone can read.
                asyncio.get_running_loop().call_later(LAST_READ_TIME, self._lose, error)
                return
            if self._reading is not None:
                self._reading.pause_reading()
            for data in () if self._ended else self._rest():
                if data:
                    self._received(data)
                else:
                    self._received_eof()
        self._lose(error)

    def _rest(self) -> Iterator[bytes]:
        fd = self._source.fileno()
        os.set_blocking(fd, False)
        try:
            yield from pieces(lambda size: os.read(fd, size))
        except OSError:
            return  # nothing more can be read: the peer has closed its other end alone

    def _received_eof(self) -> None:
        if self._ended:
            return
        self._ended = True
        if not isinstance(self._protocol, asyncio.Protocol | asyncio.BufferedProtocol):
            return
        if not self._protocol.eof_received():
            self.close()


class _ReadEnd(asyncio.Protocol):
    def __init__(self, pair: PipePair) -> None:
        self._pair = pair

    def data_received(self, data: bytes) -> None:
        self._pair._received(data)

    def eof_received(self) -> None:
        self._pair._received_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair._lose(exc)


class _WriteEnd(asyncio.BaseProtocol):
    def __init__(self, pair: PipePair) -> None:
        self._pair = pair

    def pause_writing(self) -> None:
        self._pair.get_protocol().pause_writing()

    def resume_writing(self) -> None:
        self._pair.get_protocol().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair._peer_stopped_reading(exc)


async def open_pipe_pair(
    factory: Callable[[], asyncio.BaseProtocol], reading: BinaryIO, writing: BinaryIO
) -> tuple[PipePair, asyncio.BaseProtocol]:
    """Join two pipes into one connection and run a protocol on it.

    Args:
        factory: makes the protocol.
        reading: the pipe to read from; it then belongs to the connection.
        writing: the pipe to write to; likewise.

    Returns:
        The transport and the protocol, after `connection_made`.

    Raises:
        ValueError: one of the two is not a pipe. When this fails or is cancelled, both are closed; a protocol that has
            been told `connection_made` is told `connection_lost`.
    """
    loop = asyncio.get_running_loop()
    try:
        protocol = factory()
        pair = PipePair(protocol, reading)
        pair._writing, _ = await loop.connect_write_pipe(lambda: _WriteEnd(pair), writing)
    except BaseException:
        reading.close()
        writing.close()
        raise
    try:
        protocol.connection_made(pair)
        pair._reading, _ = await loop.connect_read_pipe(lambda: _ReadEnd(pair), reading)
        if pair._lost:
            pair._reading.close()
    except BaseException:
        pair.abort()
        reading.close()
        raise
    return pair, protocol
