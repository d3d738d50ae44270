"""Frames of yamux: the header, twelve bytes, big endian, and the reader that cuts a connection's bytes into frames.

    version (1)  type (1)  flags (2)  stream id (4)  length (4)

`length` counts payload bytes in a data frame, is the credit granted in a window update, an opaque value in a ping and
a code in a go-away. (yamux spec, "Framing".) The constants are plain integers because every frame touches them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final

__all__ = [
    "ACK",
    "DATA",
    "FIN",
    "FLAGS",
    "GO_AWAY",
    "HEADER_SIZE",
    "INITIAL_WINDOW",
    "MAX_STREAM_ID",
    "MAX_WINDOW",
    "PING",
    "RST",
    "SYN",
    "VERSION",
    "WINDOW_UPDATE",
    "FrameReader",
    "GoAwayCode",
    "Violation",
    "describe",
    "describe_code",
    "pack_header",
    "unpack_header",
]

VERSION: Final = 0

DATA: Final = 0
WINDOW_UPDATE: Final = 1
PING: Final = 2
GO_AWAY: Final = 3

SYN: Final = 1
ACK: Final = 2
FIN: Final = 4
RST: Final = 8
FLAGS: Final = SYN | ACK | FIN | RST

INITIAL_WINDOW: Final = 256 * 1024
"""Bytes that each side may send on a new stream before it is granted more (spec, "Flow Control")."""

MAX_WINDOW: Final = 2**32 - 1
"""The most credit a stream can hold: the credit is counted in 32 bits on both sides."""

MAX_STREAM_ID: Final = 2**32 - 1


class GoAwayCode(IntEnum):
    """Why a side stops taking streams (spec, "Session termination")."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


_HEADER: Final = struct.Struct(">BBHII")
HEADER_SIZE: Final = _HEADER.size

pack_header: Final[Callable[[int, int, int, int], bytes]] = struct.Struct(">xBHII").pack
"""Write `(type, flags, stream id, length)` as a header of version 0."""

unpack_header: Final = _HEADER.unpack_from
"""Read `(version, type, flags, stream id, length)` from a buffer at an offset."""

_TYPE_NAMES = {DATA: "data", WINDOW_UPDATE: "window update", PING: "ping", GO_AWAY: "go-away"}
_CODE_NAMES: dict[int, str] = {
    GoAwayCode.NORMAL: "no fault",
    GoAwayCode.PROTOCOL_ERROR: "a protocol error",
    GoAwayCode.INTERNAL_ERROR: "an internal error",
}
_FLAG_NAMES = {SYN: "SYN", ACK: "ACK", FIN: "FIN", RST: "RST"}


def describe(kind: int, flags: int, stream_id: int, length: int) -> str:
    """Name a frame in an error message, such as `data frame SYN|FIN on stream 3, length 12`."""
    name = _TYPE_NAMES.get(kind, f"type {kind}")
    marks = "|".join(mark for bit, mark in _FLAG_NAMES.items() if flags & bit)
    if flags & ~FLAGS:
        marks = f"{flags:#06x}"
    return f"{name} frame{' ' + marks if marks else ''} on stream {stream_id}, length {length}"


def describe_code(code: int) -> str:
    """Name the code of a go-away in an error message."""
    return _CODE_NAMES.get(code, f"the unknown code {code}")


class Violation(Exception):
    """A frame breaks a rule; the message names the frame and the rule."""


class FrameReader:
    """Cuts bytes into frames, and keeps nothing but part of a header between calls.

    Payload is passed on as it comes, without waiting for its frame to be complete.

    Args:
        stream_frame: is called with type, flags, stream id and length of each header that is about a stream.
        session_frame: is called with type, flags and value of each that is about the session.
        payload: is called with each piece of a data frame's payload, and whether it is the last.

    Attributes:
        work: the work that is left to this call of `feed`; a header takes 1, and a callback may take more.
    """

    __slots__ = ("_header", "_left", "_payload", "_session_frame", "_stream_frame", "work")

    def __init__(
        self,
        stream_frame: Callable[[int, int, int, int], None],
        session_frame: Callable[[int, int, int], None],
        payload: Callable[[memoryview, bool], None],
    ) -> None:
        self._stream_frame = stream_frame
        self._session_frame = session_frame
        self._payload = payload
        self._header = bytearray()
        self._left = 0
        self.work = 0

    @property
    def within_frame(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self._header or self._left)

    def feed(self, data: bytes | bytearray | memoryview, work: int) -> int:
        """Take bytes until none are left, or no work is.

        Args:
            data: the bytes.
            work: how many headers to read at most.

        Returns:
            How many bytes have been taken.

        Raises:
            Violation: a header is not valid, or a callback has raised it.
        """
        self.work = work
        view = memoryview(data)
        position = 0
        size = len(view)
        while position < size and self.work > 0:
            left = self._left
            if left:
                end = min(position + left, size)
                self._left = left = left - (end - position)
                self._payload(view[position:end], not left)
                position = end
            elif self._header or size - position < HEADER_SIZE:
                end = min(position + HEADER_SIZE - len(self._header), size)
                self._header += view[position:end]
                position = end
                if len(self._header) == HEADER_SIZE:
                    header = bytes(self._header)
                    self._header.clear()
                    self._begin(header, 0)
            else:
                self._begin(view, position)
                position += HEADER_SIZE
        return position

    def _begin(self, data: bytes | memoryview, position: int) -> None:
        self.work -= 1
        version, kind, flags, stream_id, length = unpack_header(data, position)
        if version != VERSION or flags > FLAGS:
            raise _violation(version, kind, flags, stream_id, length)
        if kind == DATA:
            self._stream_frame(kind, flags, stream_id, length)
            self._left = length
        elif kind == WINDOW_UPDATE:
            self._stream_frame(kind, flags, stream_id, length)
        elif kind <= GO_AWAY and not stream_id:
            self._session_frame(kind, flags, length)
        else:
            raise _violation(version, kind, flags, stream_id, length)


def _violation(version: int, kind: int, flags: int, stream_id: int, length: int) -> Violation:
    """The rule that a header breaks whatever the state of the session is."""
    if version != VERSION:
        rule = f"version {version} is not known"
    elif kind > GO_AWAY:
        rule = f"type {kind} is not known"
    elif flags > FLAGS:
        rule = f"flags {flags:#06x} are not known"
    else:
        rule = "only the session can be meant, stream 0"
    return Violation(f"{describe(kind, flags, stream_id, length)}: {rule}")
