"""The frame header of yamux: twelve bytes, big endian, before everything else.

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
    "GoAwayCode",
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


_HEADER = struct.Struct(">BBHII")
HEADER_SIZE: Final = _HEADER.size

pack_header: Final[Callable[[int, int, int, int], bytes]] = struct.Struct(">xBHII").pack
"""Write `(type, flags, stream id, length)` as a header of version 0."""

unpack_header = _HEADER.unpack_from
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
