"""Bytes into frames, as far as that can be done without knowing streams."""

from __future__ import annotations

from collections.abc import Callable

from .frame import DATA, FLAGS, GO_AWAY, HEADER_SIZE, VERSION, WINDOW_UPDATE, describe, unpack_header

__all__ = ["FrameReader", "Violation"]


class Violation(Exception):
    """The frame at hand breaks a rule; the message names both."""


class FrameReader:
    """Cuts bytes into frames; nothing but a part of a header is kept between calls.

    Payload is passed on as it comes, without waiting for its frame to be complete.

    Args:
        frame: is called with type, flags, stream id and length of each header.
        payload: is called with each piece of a data frame's payload, and whether it is the last.

    Attributes:
        stopped: set it from one of the calls to read no further.
    """

    __slots__ = ("_frame", "_header", "_left", "_payload", "stopped")

    def __init__(
        self, frame: Callable[[int, int, int, int], None], payload: Callable[[memoryview, bool], None]
    ) -> None:
        self._frame = frame
        self._payload = payload
        self._header = bytearray()
        self._left = 0
        self.stopped = False

    @property
    def within_frame(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self._header or self._left)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes of any number.

        Raises:
            Violation: a header is not one of yamux, or one of the calls has raised it.
        """
        view = memoryview(data)
        position = 0
        size = len(view)
        while position < size and not self.stopped:
            if self._left:
                end = min(position + self._left, size)
                self._left -= end - position
                self._payload(view[position:end], not self._left)
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

    def _begin(self, data: bytes | memoryview, position: int) -> None:
        version, kind, flags, stream_id, length = unpack_header(data, position)
        if version != VERSION:
            raise Violation(f"{describe(kind, flags, stream_id, length)}: version {version} is not known")
        if kind > GO_AWAY:
            raise Violation(f"{describe(kind, flags, stream_id, length)}: type {kind} is not known")
        if flags & ~FLAGS:
            raise Violation(f"{describe(kind, flags, stream_id, length)}: flags {flags:#06x} are not known")
        if kind > WINDOW_UPDATE and stream_id:
            raise Violation(f"{describe(kind, flags, stream_id, length)}: only the session can be meant, stream 0")
        self._frame(kind, flags, stream_id, length)
        if kind == DATA:
            self._left = length
