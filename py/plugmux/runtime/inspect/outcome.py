"""How a call ended, read from its response alone: the code of its error, and what that says."""

from __future__ import annotations

import asyncio
from struct import Struct

from ...connect import Code, RpcError
from ...connect.envelope import COMPRESSED, END_STREAM
from ...connect.error import error_from_json
from ...contract.nesting import parse_json
from ...exchange import Headers

__all__ = ["OK", "StreamScanner", "is_stream", "outcome_of", "outcome_of_error"]

OK = 200
MAX_ERROR = 64 * 1024
"""Bytes of an error that are read; a longer one is told by its HTTP status, or as unknown."""

MAX_MESSAGE = 500
STREAM_TYPE = b"application/connect+"

_PREFIX = Struct(">BI")


def is_stream(headers: Headers) -> bool:
    """Whether a response is a stream of envelopes."""
    return any(name == b"content-type" and value.startswith(STREAM_TYPE) for name, value in headers)


def outcome_of(status: int, body: bytes) -> tuple[str, str]:
    """The code and the message of a response that is not a stream; both empty for one that succeeded.

    Args:
        status: of HTTP.
        body: the error, as far as it is known.
    """
    if status < 400:
        return "", ""
    code = Code.from_http(status)
    try:
        error = error_from_json(parse_json(body.decode()), code)
    except ValueError:
        return code.value, _short(body.decode("utf-8", "replace").strip() or f"HTTP status {status}")
    return error.code.value, _short(error.message)


def outcome_of_error(error: BaseException, otherwise: Code = Code.UNAVAILABLE) -> tuple[str, str]:
    """The code and the message of a call that got no response.

    Args:
        error: what was raised.
        otherwise: the code of an error that is neither a cancellation, nor a time limit, nor an RPC error.
    """
    if isinstance(error, RpcError):
        return error.code.value, _short(error.message)
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return Code.CANCELED.value, ""
    if isinstance(error, TimeoutError):
        return Code.DEADLINE_EXCEEDED.value, _short(str(error))
    return otherwise.value, _short(str(error))


def _short(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…"


class StreamScanner:
    """Follows the body of a response as it passes, and keeps nothing of it but an error.

    Args:
        status: of the response.
        stream: whether the body is a stream of envelopes.

    Attributes:
        size: bytes that have passed.
        messages: messages that have passed.
        complete: whether the end of the stream has been seen.
    """

    def __init__(self, status: int, *, stream: bool) -> None:
        self._status = status
        self.stream = stream
        self._kept = bytearray()  # of a prefix, or of an error
        self._left = 0  # bytes of the message that passes
        self._flags = 0
        self.size = 0
        self.messages = 0
        self.complete = False

    def feed(self, chunk: bytes) -> None:
        """Take what passes."""
        self.size += len(chunk)
        if not self.stream:
            if self._status != OK and len(self._kept) < MAX_ERROR:
                self._kept += chunk[:MAX_ERROR]
            return
        offset, size = 0, len(chunk)
        while offset < size and not self.complete:
            if self._left:
                taken = min(self._left, size - offset)
                if self._flags & END_STREAM and len(self._kept) < MAX_ERROR:
                    self._kept += chunk[offset : offset + taken]
                self._left -= taken
                offset += taken
            else:
                taken = min(_PREFIX.size - len(self._kept), size - offset)
                self._kept += chunk[offset : offset + taken]
                offset += taken
                if len(self._kept) < _PREFIX.size:
                    return
                self._flags, self._left = _PREFIX.unpack(self._kept)
                self._kept.clear()
            if not self._left:
                self.complete = bool(self._flags & END_STREAM)
                self.messages += not self.complete

    @property
    def outcome(self) -> tuple[str, str]:
        """The code and the message of the response, as far as it has come."""
        if not self.stream:
            return outcome_of(self._status, bytes(self._kept))
        if not self.complete:
            return Code.UNAVAILABLE.value, "the stream broke off before its end"
        if self._flags & COMPRESSED or len(self._kept) > MAX_ERROR:
            return "", ""
        try:
            end = parse_json(self._kept.decode() or "{}")
        except ValueError:
            return Code.UNKNOWN.value, "the end of the stream is not JSON"
        if not isinstance(end, dict) or end.get("error") is None:
            return "", ""
        error = error_from_json(end["error"], Code.UNKNOWN)
        return error.code.value, _short(error.message)
