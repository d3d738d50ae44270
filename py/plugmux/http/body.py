"""Bodies as they come: of fixed length, in chunks, or delimited by the end of the connection. No I/O here.

A body needs no parsing, only cutting: it is cut here, and never copied through a parser's buffer. The lines between
chunks follow h11's rules and bounds of ours; h11 reads the trailer fields. (RFC 9112 section 7.1.)
"""

from __future__ import annotations

import re
from typing import Protocol, TypeAlias

import h11

__all__ = [
    "Body",
    "Buffer",
    "ChunkedBody",
    "CloseDelimitedBody",
    "FixedLengthBody",
    "Pieces",
    "RemoteProtocolError",
    "append",
    "compact",
    "keep",
]

RemoteProtocolError = h11.RemoteProtocolError
Buffer: TypeAlias = bytes | memoryview
Pieces: TypeAlias = list[Buffer | bytearray]
"""Pieces of a body that wait for the rest of it."""

MAX_EXTENSION = 4096
"""Size of the extensions that a peer may write before a chunk, in bytes; they are ignored."""
MAX_LINE = 20 + MAX_EXTENSION
SMALL = 1024
"""Bytes below which pieces are joined as they come: each by itself would take up to twenty times its size."""

# At most 16 digits, and extensions without control characters. No quantifier gives back what it took, so that a line
# costs no more than its length.
_SIZE = rb"([0-9A-Fa-f]{1,16}+)(?:;[^\x00-\x08\x0a-\x1f\x7f]{,%d}+|[ \t]{,%d}+)\r\n" % (2 * (MAX_EXTENSION,))
_FIRST = re.compile(_SIZE)
_NEXT = re.compile(rb"\r\n" + _SIZE)
_BEFORE_TRAILER = b"POST / HTTP/1.1\r\nhost: unix\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"


class Body(Protocol):
    """The body of a message, as it comes."""

    @property
    def complete(self) -> bool:
        """Whether the end has been read."""

    @property
    def rest(self) -> bytes:
        """Bytes that came behind the end: the peer's next message, or its next protocol."""

    def feed(self, data: Buffer) -> Buffer:
        """Take what came from the peer and return the body's bytes in it, or raise `RemoteProtocolError`."""

    def feed_eof(self) -> None:
        """The peer has ended its side; raise `RemoteProtocolError` unless that is the end of the body."""


class FixedLengthBody:
    """A body of a length known before."""

    __slots__ = ("_length", "_missing", "rest")

    def __init__(self, length: int) -> None:
        self._length = self._missing = length
        self.rest = b""

    @property
    def complete(self) -> bool:
        return self._missing == 0

    def feed(self, data: Buffer) -> Buffer:
        if len(data) <= self._missing:
            self._missing -= len(data)
            return data
        piece = data[: self._missing]
        self.rest += data[self._missing :]
        self._missing = 0
        return piece

    def feed_eof(self) -> None:
        if self._missing:
            raise RemoteProtocolError(f"the body ended after {self._length - self._missing} of {self._length} bytes")


class ChunkedBody:
    """A body in chunks; its trailer fields are read and dropped.

    Args:
        limit: size of the trailer fields, in bytes.
    """

    __slots__ = ("_held", "_limit", "_line", "_missing", "_trailer", "complete", "rest")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line = _FIRST
        self._missing = 0
        self._held = b""  # the beginning of a line
        self._trailer: h11.Connection | None = None
        self.complete = False
        self.rest = b""

    def feed(self, data: Buffer) -> Buffer:
        if self.complete:
            self.rest += data
            return b""
        if self._trailer is not None:
            self._read_trailer(self._trailer, data)
            return b""
        if self._held:
            data = self._held + data
            self._held = b""
        return self._cut(memoryview(data))

    def _cut(self, data: memoryview) -> Buffer:
        pieces: list[memoryview] = []
        position, size, missing = 0, len(data), self._missing
        while position < size:
            if missing:
                piece = data[position : position + missing]
                pieces.append(piece)
                position += len(piece)
                missing -= len(piece)
            elif (line := self._line.match(data, position)) is None:
                self._hold(bytes(data[position : position + MAX_LINE + 1]))
                break
            else:
                position = line.end()
                missing = int(line[1], 16)
                self._line = _NEXT
                if not missing:
                    self._end(data[position:])
                    break
        self._missing = missing
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _hold(self, line: bytes) -> None:
        """Keep the beginning of a line, unless no more of it could make it one."""
        between = b"\r\n" if self._line is _NEXT else b""
        if len(line) > MAX_LINE or b"\n" in line[len(between) :] or not between.startswith(line[: len(between)]):
            raise RemoteProtocolError(f"{line[:40]!r} is not the beginning of a chunk")
        self._held = line

    def _end(self, data: memoryview) -> None:
        """Take what follows the last chunk."""
        if bytes(data[:2]) == b"\r\n":
            self.complete = True
            self.rest = bytes(data[2:])
            return
        self._trailer = h11.Connection(h11.SERVER, self._limit)
        self._trailer.receive_data(_BEFORE_TRAILER)
        self._trailer.next_event()
        self._read_trailer(self._trailer, data)

    def _read_trailer(self, parser: h11.Connection, data: Buffer) -> None:
        if len(data):
            parser.receive_data(bytes(data))
        if type(parser.next_event()) is h11.EndOfMessage:
            self.complete = True
            self.rest = parser.trailing_data[0]

    def feed_eof(self) -> None:
        if not self.complete:
            raise RemoteProtocolError("the body ended before its last chunk")


class CloseDelimitedBody:
    """A body that ends with the connection."""

    __slots__ = ("complete", "rest")

    def __init__(self) -> None:
        self.complete = False
        self.rest = b""

    def feed(self, data: Buffer) -> Buffer:
        return data

    def feed_eof(self) -> None:
        self.complete = True


def keep(pieces: Pieces, data: Buffer) -> None:
    """Append a piece, or join it to the last one."""
    if len(data) >= SMALL:
        pieces.append(data if isinstance(data, bytes) else _without_surroundings(data))
    elif pieces and type(pieces[-1]) is bytearray:
        pieces[-1] += data
    else:
        pieces.append(bytearray(data))


def append(pieces: Pieces, data: Buffer) -> None:
    """Append a piece; the first is appended as it came, since it may be the whole body."""
    if pieces:
        keep(pieces, data)
    else:
        pieces.append(data)


def compact(pieces: Pieces) -> None:
    """Copy a single piece that keeps a larger buffer alive."""
    if len(pieces) == 1 and isinstance(first := pieces[0], memoryview):
        pieces.clear()
        keep(pieces, first)


def _without_surroundings(data: memoryview) -> Buffer:
    """A view as it is if it covers most of its buffer, else a copy, so that it keeps little else alive."""
    whole = data.obj
    return data if isinstance(whole, bytes) and len(whole) <= 2 * len(data) else bytes(data)
