"""The frames of a streaming call: one byte of flags, four of length, then the message. No I/O here.

    0         1                             5
    +---------+-----------------------------+---------------
    |  flags  |  length, big endian         |  data ...
    +---------+-----------------------------+---------------

Flag 1 says that the data are compressed, flag 2 that they are the end of the stream: a JSON object with the error, if
there is one, and the trailers. (Connect protocol, "Streaming RPCs".)
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
        size: the length that its prefix told.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"an envelope of {size} bytes was announced")
        self.size = size


class EnvelopeReader:
    """Cuts a stream of bytes into envelopes, however the bytes arrive.

    Args:
        limit: the largest envelope taken, in bytes. It is held against the prefix, before anything is kept.
    """

    __slots__ = ("_buffer", "_limit", "_wanted")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._wanted = _PREFIX_SIZE

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Take the next bytes and return the envelopes that they complete, as (flags, data).

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
            # A large message is copied once here, whatever pieces it comes in.
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
        """Bytes of an envelope that is not complete; none of a stream that ended well."""
        return len(self._buffer)
