"""What we write: status lines, header fields and heads, as bytes.

h11 reads what a peer sends; heads that go out are put together here. Every name and value that an app or a user gave
passes `encode_fields`, so that none can smuggle a line of its own into a head. (RFC 9110 section 5.5, RFC 9112.)
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from functools import lru_cache

from ..errors import ConfigError
from ..exchange import Headers, Response

__all__ = [
    "CHUNKED",
    "CLOSE",
    "CONTINUE",
    "LAST_CHUNK",
    "ChunkWriter",
    "WHOLE_WRITE",
    "chunk",
    "content_length",
    "encode_fields",
    "encode_response",
    "is_sensitive",
    "plain_answer",
    "request_line",
    "response_head",
]

CHUNKED = b"transfer-encoding: chunked\r\n"
CLOSE = b"connection: close\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

WHOLE_WRITE = 64 * 1024
"""A body up to this size is joined with its head to one write; a larger one is not worth the copy."""

WHOLE_CHUNK = 16 * 1024
"""Bytes from which a piece of a body is a chunk of its own, and several are written before the turn is over."""

_FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [^\x00\r\n]*\r\n")
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(r"[\x21-\x7e]+")


def encode_fields(headers: Headers) -> bytes:
    """Encode header fields, one line each.

    Args:
        headers: the fields; those in a tuple are assumed to be the same at every call, and cached unless one of them is
            sensitive.

    Raises:
        ConfigError: a name is no token, or a value holds CR, LF or NUL. The message does not show the value.
    """
    if type(headers) is tuple:
        return _cached.get(headers) or _encode_and_cache(headers)
    return _encode(headers)


def _encode(headers: Headers) -> bytes:
    lines = [b"%b: %b\r\n" % field for field in headers]
    for line in lines:
        if not _FIELD.fullmatch(line):
            name = line.partition(b":")[0]
            raise ConfigError(f"the header field {name!r} cannot be sent: its name or its value has a forbidden byte")
    return b"".join(lines)


_cached: dict[Headers, bytes] = {}
MAX_CACHED_FIELDS = 64


def _encode_and_cache(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Encode fields and cache them, in place of the oldest if there are too many."""
    encoded = _encode(headers)
    if not any(is_sensitive(name) for name, _ in headers):
        while len(_cached) >= MAX_CACHED_FIELDS:
            _cached.pop(next(iter(_cached)), None)
        _cached[headers] = encoded
    return encoded


def is_sensitive(name: bytes) -> bool:
    """Whether a field may carry a credential, by its name; such a field is never cached."""
    name = name.lower()
    return any(word in name for word in _SENSITIVE)


_SENSITIVE = (b"auth", b"cookie", b"token", b"secret", b"key", b"password", b"credential", b"session", b"signature")


def request_line(method: str, target: str) -> bytes:
    """Encode the first line of a request; one without a query is cached.

    Raises:
        ConfigError: the method is no token, or the target is not printable ASCII.
    """
    return _request_line(method, target) if "?" in target else _cached_line(method, target)


def _request_line(method: str, target: str) -> bytes:
    if not _METHOD.fullmatch(method):
        raise ConfigError(f"{method!r} is not an HTTP method")
    if not _TARGET.fullmatch(target):
        raise ConfigError(f"the request target {target!r} must be percent-encoded and not empty")
    return f"{method} {target} HTTP/1.1\r\n".encode("ascii")


_cached_line = lru_cache(64)(_request_line)


def content_length(size: int) -> bytes:
    """Encode the field of the body's length."""
    return b"content-length: %d\r\n" % size


def chunk(data: bytes) -> bytes:
    """Encode a piece of a body in chunked framing; it must not be empty, as that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class ChunkWriter:
    """Writes a body in chunks: the first piece of a turn of the loop at once, the later ones of that turn as one chunk.

    So the small messages of a stream share chunks, writes and frames, and none waits for another turn.

    Args:
        write: writes to the connection.
    """

    __slots__ = ("_pieces", "_size", "_turn", "_write")

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._pieces: list[bytes] = []
        self._size = 0
        self._turn: asyncio.Handle | None = None

    def write(self, piece: bytes, head: bytes = b"") -> None:
        """Write a piece of the body, which may be empty; the head of the message goes before the first."""
        if head or self._turn is None or len(piece) >= WHOLE_CHUNK:
            self.flush()
            if self._turn is None:
                self._turn = asyncio.get_running_loop().call_soon(self._end_turn)
            if head or piece:
                self._write(head + chunk(piece) if piece else head)
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= WHOLE_CHUNK:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if data := b"".join(self._pieces):
            self.drop()
            self._write(chunk(data))

    def end(self, piece: bytes = b"") -> None:
        """Write what waits, the last piece, and the end of the body."""
        body = b"".join((*self._pieces, piece))
        self.drop()
        self._write((chunk(body) if body else b"") + LAST_CHUNK)

    def drop(self) -> None:
        """Write nothing of what waits."""
        self._pieces.clear()
        self._size = 0

    def _end_turn(self) -> None:
        self._turn = None
        self.flush()


def _phrase(status: int) -> str:
    """The reason phrase of a status; empty where the status is unknown."""
    from http import HTTPStatus  # a plugin starts without it

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


_STATUS_LINES: dict[object, bytes] = {}


def _status_line(status: object) -> bytes:
    """The first line of a response; each is made when it is first asked for."""
    if not (isinstance(status, int) and 100 <= status <= 599):
        raise ConfigError(f"{status!r} is not an HTTP status code")
    line = _STATUS_LINES[status] = f"HTTP/1.1 {status:d} {_phrase(status)}\r\n".encode("ascii")
    return line


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(second: int) -> str:
    """A point in time as HTTP writes it, whatever the locale (RFC 9110 section 5.6.7)."""
    at = time.gmtime(second)
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year} {clock} GMT"


class _Date:
    """The Date field, encoded once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._line = b""

    def line(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"date: {http_date(second)}\r\n".encode("ascii")
        return self._line


_date = _Date()


def response_head(status: object, fields: bytes, framing: bytes, *, close: bool, dated: bool = False) -> bytes:
    """Encode the head of a response, with its blank line.

    Args:
        status: the status code, 100 to 599.
        fields: what `encode_fields` gave for the app's header fields.
        framing: the field that frames the body, or nothing.
        close: whether the connection ends with this response.
        dated: whether the fields have a Date already.

    Raises:
        ConfigError: the status is not one.
    """
    line = _STATUS_LINES.get(status) or _status_line(status)
    date = b"" if dated else _date.line()
    return b"".join((line, date, fields, framing, CLOSE if close else b"", b"\r\n"))


def encode_response(response: Response, *, with_body: bool, close: bool) -> tuple[bytes, ...]:
    """Encode a whole response, as one piece where that is worth the copy, or as head and body.

    Args:
        response: the response.
        with_body: whether the request lets it have a body.
        close: whether the connection ends with it.

    Raises:
        ConfigError: a header field or the status cannot be sent.
    """
    fields = encode_fields(response.headers)
    body = response.body
    framing = content_length(len(body)) if response.status not in (204, 304) else b""
    head = response_head(response.status, fields, framing, close=close)
    if not body or not with_body or not framing:
        return (head,)
    return (head + body,) if len(body) <= WHOLE_WRITE else (head, body)


def plain_answer(status: int) -> Response:
    """A response whose body is its reason phrase."""
    body = _phrase(status).encode("ascii") + b"\n"
    return Response(status, ((b"content-type", b"text/plain; charset=utf-8"),), body)
