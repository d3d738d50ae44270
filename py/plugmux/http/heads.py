"""Heads as they were read: what h11 found, with what follows from it, and a memory of heads read before.

What a head means depends on its bytes alone. A caller that asks the same again and again sends the same head again and
again, so h11 is asked once for each of them: a head that is equal byte for byte means what it meant before. Every head
that is remembered has passed h11; none is ever compared by parts.
"""

from __future__ import annotations

from typing import NamedTuple, Self, TypeAlias

import h11

from .fields import is_sensitive

__all__ = ["MAX_REMEMBERED_BYTES", "Event", "Head", "HeadCache"]

Event: TypeAlias = h11.Request | h11.Response | h11.InformationalResponse

MAX_REMEMBERED_BYTES = 1024
"""Size of the heads that are remembered, in bytes."""
MAX_REMEMBERED = 64

_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade"))


class Head(NamedTuple):
    """The head of a message.

    Args:
        version: the HTTP version, `b"1.1"` or `b"1.0"`.
        headers: the header fields in order, names in lower case.
        length: what it says of the body's size, in bytes; `None` if it says nothing.
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
        """Draw the conclusions from what h11 has read."""
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
            status = event.status_code  # type: ignore[union-attr]
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

    def keep(self, data: bytes, head: Head) -> None:
        """Remember what some bytes mean, in place of the oldest if there are too many."""
        if head.upgrade is not None or any(is_sensitive(name) for name, _ in head.headers):
            return
        if len(self._heads) >= MAX_REMEMBERED:
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
