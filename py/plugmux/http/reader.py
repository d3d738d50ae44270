"""What we read: one HTTP message of a peer, bytes in, head and body out, with no I/O.

The head is h11's to parse; the body is cut as its head says (`bodies`). Which framing applies follows RFC 9112
section 6.3, after h11 has refused lengths that contradict each other and transfer codings other than `chunked`.
"""

from __future__ import annotations

import h11

from .body import Body, Buffer, ChunkedBody, CloseDelimitedBody, FixedLengthBody, RemoteProtocolError
from .heads import MAX_REMEMBERED_BYTES, Event, Head, HeadCache

__all__ = ["HeadReader"]

STEP = 4096
"""How much of one read h11 is given at a time, while it looks for the end of a head: the rest is spared its buffer."""
MAX_INTERIM = 100
"""Interim responses (1xx) that are skipped before one response; more is an attempt to keep the caller waiting."""

# A client's parser must know that a request is out before it takes an interim response. Which one does not matter: the
# framing of a response's body is decided in `HeadReader.body`.
_ASKED = h11.Request(method="GET", target="/", headers=[("host", "unix")])
_ASKED_TO_UPGRADE = h11.Request(
    method="GET", target="/", headers=[("host", "unix"), ("connection", "upgrade"), ("upgrade", "any")]
)


class HeadReader:
    """Reads the head of one message.

    Args:
        role: who we are: `h11.SERVER` reads a request, `h11.CLIENT` a response.
        limit: size of the head, in bytes.
        memory: heads that were read before.
        upgrade: (client) whether the request asked for another protocol, so that 101 may come.
    """

    __slots__ = ("_held", "_interim", "_limit", "_memory", "_parser", "_role", "_unfed", "_upgrade")

    def __init__(
        self,
        role: type[h11.CLIENT] | type[h11.SERVER],
        limit: int,
        *,
        memory: HeadCache | None = None,
        upgrade: bool = False,
    ) -> None:
        self._role = role
        self._limit = limit
        self._memory = memory
        self._upgrade = upgrade
        self._parser: h11.Connection | None = None
        self._interim = 0
        self._held: Buffer = b""
        self._unfed: Buffer = b""

    def feed(self, data: bytes) -> Head | None:
        """Take what came from the peer; the head, once it is whole. Interim responses other than 101 are skipped.

        Raises:
            RemoteProtocolError: this is no HTTP, or the head is longer than the limit; `error_status_hint` is the
                status that a server should answer with.
        """
        if self._parser is not None:
            return self._parse(self._parser, data)
        if self._memory is None:
            return self._parse(self._begin(), data)
        end = data.find(b"\r\n\r\n", 0, MAX_REMEMBERED_BYTES) + 4
        if end < 4:
            return self._parse(self._begin(), data)
        known = data[:end]
        head = self._memory.get(known)
        if head is not None:
            self._held = data[end:]
            return head
        head = self._parse(self._begin(), data)
        if head is not None and len(data) - len(self._held) - len(self._unfed) == end:
            self._memory.keep(known, head)
        return head

    def _begin(self) -> h11.Connection:
        parser = self._parser = h11.Connection(self._role, self._limit)
        if self._role is h11.CLIENT:
            parser.send(_ASKED_TO_UPGRADE if self._upgrade else _ASKED)
            if self._upgrade:
                parser.send(h11.EndOfMessage())
        return parser

    def _parse(self, parser: h11.Connection, data: bytes) -> Head | None:
        for start in range(0, len(data), STEP):
            parser.receive_data(data[start : start + STEP])
            event = self._next_head(parser)
            if event is not None:
                view = memoryview(data)
                end = min(start + STEP, len(data))
                self._held = view[end - len(parser.trailing_data[0]) : end]
                self._unfed = view[end:]
                return Head.of(event, expects_continue=parser.they_are_waiting_for_100_continue)
        return None

    def _next_head(self, parser: h11.Connection) -> Event | None:
        while True:
            event = parser.next_event()
            if type(event) is h11.Request or type(event) is h11.Response:
                return event
            if type(event) is not h11.InformationalResponse:
                return None
            if event.status_code == 101:
                return event
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise RemoteProtocolError(f"more than {MAX_INTERIM} interim responses before the response")

    def body(self, head: Head, *, empty: bool = False, until_eof: bool = False) -> tuple[Body, tuple[Buffer, ...]]:
        """The body that follows the head, and what of it has come with the head, to be fed to it.

        Args:
            head: what `feed` gave.
            empty: there is none, whatever the head says (the response to HEAD, 204, 304).
            until_eof: without any framing the body reaches to the end of the connection (responses) and is not
                missing (requests).
        """
        body: Body
        if empty:
            body = FixedLengthBody(0)
        elif head.chunked:
            body = ChunkedBody(self._limit)
        elif head.length is not None or not until_eof:
            body = FixedLengthBody(head.length or 0)
        else:
            body = CloseDelimitedBody()
        return body, (self._held, self._unfed) if self._unfed else (self._held,)

    @property
    def rest(self) -> bytes:
        """All that came behind the head."""
        return bytes(self._held) + bytes(self._unfed)
