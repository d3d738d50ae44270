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
        stream_frame: is called with type, flags, stream id and length of each header that is about a stream.
        session_frame: is called with type, flags and value of each that is about the session.
        payload: is called with each piece of a data frame's payload, and whether it is the last.

    Attributes:
        work: the work that is left to this call of `feed`; a header takes 1, and whoever is called may take more.
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
        """Take bytes of any number, until they end or the work does.

        Args:
            data: the bytes.
            work: how many headers to read at most.

        Returns:
            How many bytes have been taken.

        Raises:
            Violation: a header is not one of yamux, or one of the calls has raised it.
        """
        self.work = work
        view = memoryview(data)
        position = 0
        size = len(view)
        while position < size and self.work > 0:
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
        return position

    def _begin(self, data: bytes | memoryview, position: int) -> None:
        self.work -= 1
        version, kind, flags, stream_id, length = unpack_header(data, position)
        if version != VERSION or flags > FLAGS or (kind > WINDOW_UPDATE and (stream_id or kind > GO_AWAY)):
            raise _violation(version, kind, flags, stream_id, length)
        if kind <= WINDOW_UPDATE:
            self._stream_frame(kind, flags, stream_id, length)
            if kind == DATA:
                self._left = length
        else:
            self._session_frame(kind, flags, length)


def _violation(version: int, kind: int, flags: int, stream_id: int, length: int) -> Violation:
    """Which rule a header breaks by itself, whatever the state of the session."""
    if version != VERSION:
        rule = f"version {version} is not known"
    elif kind > GO_AWAY:
        rule = f"type {kind} is not known"
    elif flags > FLAGS:
        rule = f"flags {flags:#06x} are not known"
    else:
        rule = "only the session can be meant, stream 0"
    return Violation(f"{describe(kind, flags, stream_id, length)}: {rule}")
