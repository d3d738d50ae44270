"""The frames of a streaming call: one byte of flags, four of length, then the message. No I/O here.

    0         1                             5
    +---------+-----------------------------+---------------
    |  flags  |  length, big endian         |  data ...
    +---------+-----------------------------+---------------

Flag 1 marks data that are compressed. Flag 2 marks the end of the stream: the data are a JSON object with the trailers
and, if the call failed, the error. (Connect protocol, "Streaming RPCs".)
"""

from __future__ import annotations

from struct import Struct

__all__ = ["COMPRESSED", "END_STREAM", "EnvelopeReader", "EnvelopeTooLarge", "envelope"]

COMPRESSED = 0b01
END_STREAM = 0b10

_PREFIX = Struct(">BI")
_pack, _unpack_from, _PREFIX_SIZE = _PREFIX.pack, _PREFIX.unpack_from, _PREFIX.size


def envelope(data: bytes, flags: int = 0) -> bytes:
    """Frame one message."""
    return _pack(flags, len(data)) + data


class EnvelopeTooLarge(Exception):
    """The peer announced an envelope over the limit.

    Args:
        size: the length in its prefix.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"the peer announced an envelope of {size} bytes")
        self.size = size


class EnvelopeReader:
    """Splits a stream of bytes into envelopes, in whatever pieces the bytes arrive.

    Args:
        limit: the largest envelope accepted, in bytes. The length in the prefix is checked before any data are kept.
    """

    __slots__ = ("_buffer", "_limit", "_wanted")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._wanted = _PREFIX_SIZE

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Add the next bytes and return the envelopes that they complete, as (flags, data).

        Raises:
            EnvelopeTooLarge: a prefix announces more than the limit. The reader must not be fed again.
        """
        buffer, complete = self._buffer, []
        offset, size = 0, len(chunk)
        if buffer:
            if len(buffer) < _PREFIX_SIZE:
                offset = min(_PREFIX_SIZE - len(buffer), size)
                buffer += chunk[:offset]
                if len(buffer) < _PREFIX_SIZE:
                    return []
                length = _unpack_from(buffer)[1]
                if length > self._limit:
                    raise EnvelopeTooLarge(length)
                self._wanted = _PREFIX_SIZE + length
            end = offset + self._wanted - len(buffer)
            if end > size:
                buffer += memoryview(chunk)[offset:]
                return []
            # A large message is copied only once, in whatever pieces it arrives.
            data = b"".join((memoryview(buffer)[_PREFIX_SIZE:], memoryview(chunk)[offset:end]))
            complete.append((buffer[0], data))
            buffer.clear()
            offset = end
        while size - offset >= _PREFIX_SIZE:
            flags, length = _unpack_from(chunk, offset)
            if length > self._limit:
                raise EnvelopeTooLarge(length)
            end = offset + _PREFIX_SIZE + length
            if end > size:
                self._wanted = end - offset
                break
            complete.append((flags, chunk[offset + _PREFIX_SIZE : end]))
            offset = end
        if offset < size:
            buffer += memoryview(chunk)[offset:]
        return complete

    @property
    def pending(self) -> int:
        """Bytes of the envelope that is not complete yet; 0 after a stream that ended properly."""
        return len(self._buffer)
