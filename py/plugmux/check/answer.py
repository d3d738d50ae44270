"""What a plugin answered to a call, read as the Connect protocol says."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..connect import Code
from ..connect.envelope import COMPRESSED, END_STREAM
from .outcome import Failed, expect

__all__ = ["Answer", "StreamAnswer"]

SHOWN = 120
"""Bytes of an answer that a message shows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a unary call, or to any request.

    Args:
        status: the HTTP status.
        headers: the header fields.
        body: the body.
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def media_type(self) -> str:
        """The content type, without its parameters."""
        return self.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()

    @property
    def code(self) -> Code | None:
        """The code of the error; `None` where it is none. An answer that is not of Connect has that of its status."""
        if self.status == 200:
            return None
        try:
            return self.error_code()
        except Failed:
            return Code.from_http(self.status)

    def error_code(self) -> Code:
        """The code of an error in the form of the Connect protocol.

        Raises:
            Failed: it is not in that form.
        """
        expect(self.status != 200, "it was answered with success, and not with an error")
        what = f"the error has HTTP status {self.status}, the type {self.media_type!r} and the body {self.shown}"
        expect(self.media_type == "application/json", what)
        return _code(self.body, what)

    @property
    def shown(self) -> str:
        """The beginning of the body, for a message."""
        return repr(self.body[:SHOWN].decode("utf-8", "replace"))

    def __str__(self) -> str:
        code = self.code
        return f"HTTP status {self.status}{f' ({code.value})' if code else ''}"


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """The answer to a call of a method that streams.

    Args:
        status: the HTTP status.
        headers: the header fields.
        plain: the body of an answer that is no stream.
        envelopes: the envelopes of one that is, as (flags, data).
        rest: bytes of an envelope that did not come to its end.
    """

    status: int
    headers: dict[bytes, bytes]
    plain: bytes
    envelopes: tuple[tuple[int, bytes], ...]
    rest: int

    @property
    def messages(self) -> list[bytes]:
        """The messages, in order."""
        return [data for flags, data in self.envelopes if not flags & END_STREAM]

    def end_code(self) -> Code | None:
        """The code that the stream ended with; `None` for success.

        Raises:
            Failed: it did not end as the protocol says.
        """
        expect(self.status == 200, f"a stream begins with HTTP status 200, not {self.status}: {self.plain[:SHOWN]!r}")
        media_type = self.headers.get(b"content-type", b"")
        expect(media_type.startswith(b"application/connect+"), f"the stream has the content type {media_type!r}")
        expect(not self.rest, "the stream broke off within an envelope")
        expect(
            self.envelopes and self.envelopes[-1][0] & END_STREAM, "the stream ended without an end-of-stream envelope"
        )
        ends = [data for flags, data in self.envelopes if flags & END_STREAM]
        expect(len(ends) == 1, "the stream went on behind its end-of-stream envelope")
        expect(
            not any(flags & COMPRESSED for flags, _ in self.envelopes), "it compressed what nobody asked to compress"
        )
        try:
            error = json.loads(ends[0] or b"{}").get("error")
        except (ValueError, AttributeError):
            raise Failed(f"the end-of-stream envelope holds no JSON object: {ends[0][:SHOWN]!r}") from None
        return None if error is None else _code(json.dumps(error).encode(), f"the stream ended with the error {error}")


def _code(body: bytes, what: str) -> Code:
    """The code in an error's JSON object."""
    try:
        said = json.loads(body)
        code = Code.from_wire(said["code"])
    except (ValueError, TypeError, KeyError):
        raise Failed(f"{what}, which is not Connect's JSON with a code") from None
    if code is None:
        raise Failed(f"{what}, whose code is none of Connect's")
    return code
