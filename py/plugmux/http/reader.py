"""What we read: one HTTP message of a peer, bytes in, head and body out, with no I/O.

The head is h11's to parse, and so is a chunked body. A body whose length the head gave needs no parsing, only counting,
so it is counted here and never copied through a parser's buffer; that, and one `h11.Connection` a message, is what
keeps h11 cheap. Which framing applies follows RFC 9112 section 6.3, after h11 has refused lengths that contradict each
other and transfer codings other than `chunked`.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import h11

__all__ = ["Body", "Head", "HeadReader", "RemoteProtocolError"]

RemoteProtocolError = h11.RemoteProtocolError
Head: TypeAlias = h11.Request | h11.Response | h11.InformationalResponse
Buffer: TypeAlias = bytes | memoryview

STEP = 4096
"""How much of one read h11 is given at a time, while it looks for the end of a head: the rest is spared its buffer."""
LONGEST_CHUNK_LINE = 16 * 1024
MAX_INTERIM = 100
"""Interim responses (1xx) that are skipped before one response; more is an attempt to keep the caller waiting."""
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade"))

# A client's parser must know that a request is out before it takes an interim response. Which one does not matter: the
# framing of a response's body is decided in `HeadReader.body`.
_ASKED = h11.Request(method="GET", target="/", headers=[("host", "unix")])
_ASKED_TO_UPGRADE = h11.Request(
    method="GET", target="/", headers=[("host", "unix"), ("connection", "upgrade"), ("upgrade", "any")]
)


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


class HeadReader:
    """Reads the head of one message, then says how its body is framed.

    Args:
        role: who we are: `h11.SERVER` reads a request, `h11.CLIENT` a response.
        limit: size of the head, in bytes.
        upgrade: (client) whether the request asked for another protocol, so that 101 may come.

    Attributes:
        length: what the head says of the body's size, in bytes; `None` if it says nothing.
        chunked: whether the body is in chunks.
        close: whether the peer ends the connection after this message.
        upgrade: the protocol that the peer offers to change to, or changes to; `None` for none.
    """

    __slots__ = ("_held", "_interim", "_limit", "_parser", "_unfed", "chunked", "close", "length", "upgrade")

    def __init__(self, role: type[h11.CLIENT] | type[h11.SERVER], limit: int, *, upgrade: bool = False) -> None:
        self._parser = h11.Connection(role, limit)
        self._limit = limit
        self._interim = 0
        self._held: Buffer = b""
        self._unfed: Buffer = b""
        self.length: int | None = None
        self.chunked = False
        self.close = False
        self.upgrade: bytes | None = None
        if role is h11.CLIENT:
            self._parser.send(_ASKED_TO_UPGRADE if upgrade else _ASKED)
            if upgrade:
                self._parser.send(h11.EndOfMessage())

    @property
    def expects_continue(self) -> bool:
        """Whether the peer waits for 100 (Continue) before it sends the body."""
        return self._parser.they_are_waiting_for_100_continue

    def feed(self, data: bytes) -> Head | None:
        """Take what came from the peer; the head, once it is whole. Interim responses other than 101 are skipped.

        Raises:
            RemoteProtocolError: this is no HTTP, or the head is longer than the limit; `error_status_hint` is the
                status that a server should answer with.
        """
        if len(data) <= STEP:
            self._parser.receive_data(data)
            head = self._next_head()
            if head is not None:
                self._held = self._parser.trailing_data[0]
                self._note(head)
            return head
        for start in range(0, len(data), STEP):
            self._parser.receive_data(data[start : start + STEP])
            head = self._next_head()
            if head is not None:
                view = memoryview(data)
                end = min(start + STEP, len(data))
                self._held = view[end - len(self._parser.trailing_data[0]) : end]
                self._unfed = view[end:]
                self._note(head)
                return head
        return None

    def _next_head(self) -> Head | None:
        while True:
            event = self._parser.next_event()
            if type(event) is h11.Request or type(event) is h11.Response:
                return event
            if type(event) is not h11.InformationalResponse:
                return None
            if event.status_code == 101:
                return event
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise RemoteProtocolError(f"more than {MAX_INTERIM} interim responses before the response")

    def _note(self, head: Head) -> None:
        modern = head.http_version >= b"1.1"
        options: list[bytes] = []
        for name, value in head.headers:
            if name not in _FRAMING:
                continue
            if name == b"content-length":
                self.length = int(value)
            elif name == b"transfer-encoding":
                self.chunked = True
            elif name == b"upgrade":
                self.upgrade = value
            else:
                options += [option.strip() for option in value.lower().split(b",")]
        self.close = not modern or b"close" in options
        if not modern or b"upgrade" not in options:
            self.upgrade = None

    def body(self, *, empty: bool = False, until_eof: bool = False) -> tuple[Body, tuple[Buffer, ...]]:
        """The body that follows the head, and what of it has come with the head, to be fed to it.

        Args:
            empty: there is none, whatever the head says (the response to HEAD, 204, 304).
            until_eof: without any framing the body reaches to the end of the connection (responses) and is not
                missing (requests).
        """
        if not empty and self.chunked:
            # h11 holds what came with the head.
            return _ChunkedBody(self._parser), (self._unfed,)
        body: Body
        if empty or self.length is not None or not until_eof:
            body = _CountedBody(0 if empty else self.length or 0)
        else:
            body = _EndlessBody()
        return body, (self._held, self._unfed) if self._unfed else (self._held,)

    @property
    def rest(self) -> bytes:
        """All that came behind the head."""
        return bytes(self._held) + bytes(self._unfed)


class _CountedBody:
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


class _ChunkedBody:
    """A body in chunks; its trailer fields are read and dropped."""

    __slots__ = ("_parser", "complete", "rest")

    def __init__(self, parser: h11.Connection) -> None:
        self._parser = parser
        self.complete = False
        self.rest = b""

    def feed(self, data: Buffer) -> Buffer:
        if self.complete:
            self.rest += data
            return b""
        pieces: list[bytes] = []
        view = memoryview(data)
        # In steps, because h11 takes each chunk off the front of its buffer, which for many small chunks is quadratic
        # in the size of what it was given at once.
        for start in range(0, max(len(view), 1), LONGEST_CHUNK_LINE):
            if len(view):
                self._parser.receive_data(bytes(view[start : start + LONGEST_CHUNK_LINE]))
            if self._take(pieces):
                self.rest = self._parser.trailing_data[0] + bytes(view[start + LONGEST_CHUNK_LINE :])
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take(self, pieces: list[bytes]) -> bool:
        while True:
            event = self._parser.next_event()
            if type(event) is h11.Data:
                pieces.append(event.data)
            elif type(event) is h11.EndOfMessage:
                self.complete = True
                return True
            elif event is h11.NEED_DATA:
                return False

    def feed_eof(self) -> None:
        if not self.complete:
            raise RemoteProtocolError("the body ended before its last chunk")


class _EndlessBody:
    """A body that ends with the connection."""

    __slots__ = ("complete", "rest")

    def __init__(self) -> None:
        self.complete = False
        self.rest = b""

    def feed(self, data: Buffer) -> Buffer:
        return data

    def feed_eof(self) -> None:
        self.complete = True
