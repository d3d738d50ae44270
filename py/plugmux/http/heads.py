"""Heads: how one is read, what it means, and a cache of the heads that were read before. No I/O here.

h11 parses the head; the body is cut as the head says (`body`). Which framing applies follows RFC 9112 section 6.3,
after h11 has refused lengths that contradict each other and transfer codings other than `chunked`.

What a head means depends on its bytes alone. A caller that asks the same again and again sends the same head again and
again, so h11 parses each of them once: a head that is equal byte for byte means what it meant before. Every cached head
has passed h11; none is ever compared by parts.
"""

from __future__ import annotations

from typing import NamedTuple, Self, TypeAlias

import h11

from .body import Body, Buffer, ChunkedBody, CloseDelimitedBody, FixedLengthBody, RemoteProtocolError
from .fields import is_sensitive

__all__ = ["Head", "HeadCache", "HeadReader"]

Event: TypeAlias = h11.Request | h11.Response | h11.InformationalResponse

MAX_CACHED_BYTES = 1024
"""Size of the heads that are cached, in bytes."""
MAX_CACHED_HEADS = 64
STEP = 4096
"""Bytes that h11 gets at a time until it finds the end of the head: it copies no more than that of a body."""
MAX_INTERIM = 100
"""Interim responses (1xx) that are skipped before one response; more is an attempt to keep the caller waiting."""

# A client's parser must know that a request is out before it takes an interim response. Which one does not matter: the
# framing of a response's body is decided in `HeadReader.body`.
_REQUEST = h11.Request(method="GET", target="/", headers=[("host", "unix")])
_UPGRADE_REQUEST = h11.Request(
    method="GET", target="/", headers=[("host", "unix"), ("connection", "upgrade"), ("upgrade", "any")]
)

_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade"))


class Head(NamedTuple):
    """The head of a message.

    Args:
        version: the HTTP version, `b"1.1"` or `b"1.0"`.
        headers: the header fields in order, names in lower case.
        length: the size of the body that it gives, in bytes; `None` if it gives none.
        chunked: whether the body is in chunks.
        close: whether the sender ends the connection after this message.
        upgrade: the protocol that the sender offers to change to, or changes to; `None` for none.
        status: of a response, its status code.
        method: of a request, its method in upper case.
        path: of a request, its path without the query.
        query: of a request, its query without the question mark.
        expects_continue: of a request, whether the sender waits for 100 (Continue) before it sends the body.
    """

    version: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    length: int | None
    chunked: bool
    close: bool
    upgrade: bytes | None
    status: int = 0
    method: str = ""
    path: str = ""
    query: bytes = b""
    expects_continue: bool = False

    @classmethod
    def of(cls, event: Event, *, expects_continue: bool) -> Self:
        """Make a head of what h11 has read."""
        headers = tuple(event.headers)
        length, chunked, upgrade = None, False, None
        options: list[bytes] = []
        for name, value in headers:
            if name not in _FRAMING:
                continue
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                chunked = True
            elif name == b"upgrade":
                upgrade = value
            else:
                options += [option.strip() for option in value.lower().split(b",")]
        modern = event.http_version >= b"1.1"
        # Both framings in one message are an attempt to smuggle a request, or a broken sender (RFC 9112 section 6.1).
        close = not modern or b"close" in options or (chunked and length is not None)
        if not modern or b"upgrade" not in options:
            upgrade = None
        if type(event) is not h11.Request:
            status = event.status_code  # type: ignore[union-attr]  # else it is a response
            return cls(event.http_version, headers, length, chunked, close, upgrade, status)
        path, _, query = _origin_form(event.target).partition(b"?")
        method = event.method.decode("ascii").upper()
        return cls(
            event.http_version,
            headers,
            length,
            chunked,
            close,
            upgrade,
            method=method,
            path=path.decode("ascii"),
            query=query,
            expects_continue=expects_continue,
        )


class HeadCache:
    """The last heads that a server or a client has read, by their bytes.

    It holds a fixed number of heads of bounded size, and none that carries credentials or an upgrade.
    """

    __slots__ = ("_heads", "get")

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}
        self.get = self._heads.get

    def store(self, data: bytes, head: Head) -> None:
        """Cache what some bytes mean, in place of the oldest if there are too many."""
        if head.upgrade is not None or any(is_sensitive(name) for name, _ in head.headers):
            return
        if len(self._heads) >= MAX_CACHED_HEADS:
            del self._heads[next(iter(self._heads))]
        self._heads[data] = head


def _origin_form(target: bytes) -> bytes:
    """The path and query of a target in absolute form, as callers of proxies send it; any other is left as it is."""
    if target.startswith(b"/"):
        return target
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return target
    authority = rest.partition(b"/")[0].partition(b"?")[0]
    origin = rest[len(authority) :]
    return origin if origin.startswith(b"/") else b"/" + origin


class HeadReader:
    """Reads the head of one message.

    Args:
        role: who we are: `h11.SERVER` reads a request, `h11.CLIENT` a response.
        limit: size of the head, in bytes.
        cache: heads that were read before.
        upgrade: (client) whether the request asked for another protocol, so that 101 may come.
    """

    __slots__ = ("_cache", "_held", "_interim", "_limit", "_parser", "_role", "_unfed", "_upgrade")

    def __init__(
        self,
        role: type[h11.CLIENT] | type[h11.SERVER],
        limit: int,
        *,
        cache: HeadCache | None = None,
        upgrade: bool = False,
    ) -> None:
        self._role = role
        self._limit = limit
        self._cache = cache
        self._upgrade = upgrade
        self._parser: h11.Connection | None = None
        self._interim = 0
        self._held: Buffer = b""
        self._unfed: Buffer = b""

    def feed(self, data: bytes) -> Head | None:
        """Take bytes from the peer, and give the head once it is whole. Interim responses other than 101 are skipped.

        Raises:
            RemoteProtocolError: the head is not valid HTTP, or longer than the limit; `error_status_hint` is the status
                that a server should answer with.
        """
        if self._parser is not None:
            return self._parse(self._parser, data)
        if self._cache is None:
            return self._parse(self._begin(), data)
        end = data.find(b"\r\n\r\n", 0, MAX_CACHED_BYTES) + 4
        if end < 4:
            return self._parse(self._begin(), data)
        known = data[:end]
        head = self._cache.get(known)
        if head is not None:
            self._held = data[end:]
            return head
        head = self._parse(self._begin(), data)
        if head is not None and len(data) - len(self._held) - len(self._unfed) == end:
            self._cache.store(known, head)
        return head

    def _begin(self) -> h11.Connection:
        parser = self._parser = h11.Connection(self._role, self._limit)
        if self._role is h11.CLIENT:
            parser.send(_UPGRADE_REQUEST if self._upgrade else _REQUEST)
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
        """The body that follows the head, and the pieces to feed to it that came with the head.

        Args:
            head: what `feed` gave.
            empty: whether there is no body, whatever the head says (the response to HEAD, 204, 304).
            until_eof: whether, without any framing, the body is delimited by the end of the connection (responses)
                rather than absent (requests).
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
        """The bytes that came behind the head."""
        return bytes(self._held) + bytes(self._unfed)
