"""The caller's side of an HTTP upgrade: ask for another protocol, and give it the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import h11

from ..aio.transports import switch_protocol
from ..errors import ExchangeError
from ..exchange import Headers
from .body import Body, Buffer, RemoteProtocolError
from .client import Open
from .exchange import HEAD_LIMIT
from .fields import encode_fields, request_line
from .heads import HeadReader

__all__ = ["UpgradeRefused", "upgrade"]

AnyProtocol = TypeVar("AnyProtocol", bound=asyncio.BaseProtocol)

MAX_REASON = 512
"""Bytes of a refusal's body that go into the error."""


class UpgradeRefused(ExchangeError):
    """The peer has answered that it does not speak the other protocol.

    Args:
        message: what it has said.
        status: the status of its answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, sent=True)
        self.status = status


async def upgrade(
    open: Open | asyncio.Transport,
    path: str,
    headers: Headers,
    factory: Callable[[], AnyProtocol],
    timeout: float | None,
) -> tuple[asyncio.Transport, AnyProtocol]:
    """Ask the peer to speak another protocol on a stream, and hand the stream over once it agrees.

    Args:
        open: opens the stream (`mux.open`), or an open transport whose protocol is given up.
        path: the request target.
        headers: header fields, with `upgrade`, and with `host` where it is not `unix`.
        factory: makes the protocol that takes over. It gets every byte that came behind the peer's 101.
        timeout: seconds to wait for the peer's answer; `None` for no limit.

    Returns:
        The transport and the protocol, after `connection_made`.

    Raises:
        ConfigError: the path or a header field cannot be sent.
        ExchangeError: the exchange broke, or, as `UpgradeRefused`, the peer refused; the stream has been reset.
        LinkError: no stream could be opened.
        TimeoutError: no answer came in time; the stream has been reset.

    Cancelling the wait resets the stream.
    """
    given = {name for name, _ in headers}
    host = b"" if b"host" in given else b"host: unix\r\n"
    head = request_line("GET", path) + host + b"connection: upgrade\r\n" + encode_fields(headers) + b"\r\n"
    waiting = _UpgradeRequest(path, factory)
    if callable(open):
        transport = open(waiting)
    else:  # uvloop's transport of TLS is none of asyncio's classes.
        transport = open
        transport.set_protocol(waiting)
    waiting.transport = transport
    transport.write(head)
    try:
        async with asyncio.timeout(timeout):
            return transport, await waiting.taken
    except BaseException:
        transport.abort()
        raise


class _UpgradeRequest(asyncio.Protocol, Generic[AnyProtocol]):
    """The protocol of the stream until the peer has answered."""

    def __init__(self, path: str, factory: Callable[[], AnyProtocol]) -> None:
        self.transport: asyncio.Transport
        self.taken: asyncio.Future[AnyProtocol] = asyncio.get_running_loop().create_future()
        self._path = path
        self._factory = factory
        self._reader = HeadReader(h11.CLIENT, HEAD_LIMIT, upgrade=True)
        self._status = 0
        self._body: Body | None = None
        self._reason = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # every transport that comes writes

    def data_received(self, data: bytes) -> None:
        if self.taken.done():
            return
        try:
            if self._body is None:
                self._read_head(data)
            else:
                self._read_reason((data,))
        except RemoteProtocolError as error:
            self._fail(f"the answer is not valid HTTP: {error}")

    # After the end of the stream the transport closes. On Windows the end of a connection may come before the alert by
    # which it ended: so what is told waits for `connection_lost`, which has the reason.

    def connection_lost(self, exc: Exception | None) -> None:
        if self._body is not None:
            self._refuse()
        else:
            self._fail("the stream ended before the answer" + (f": {exc}" if exc else ""), exc)

    def _read_head(self, data: bytes) -> None:
        head = self._reader.feed(data)
        if head is None:
            return
        if head.status == 101:
            protocol = self._factory()
            switch_protocol(self.transport, protocol, self._reader.rest)
            self.taken.set_result(protocol)
        else:
            self._status = head.status
            self._body, pieces = self._reader.body(head, until_eof=True)
            self._read_reason(pieces)

    def _read_reason(self, pieces: tuple[Buffer, ...]) -> None:
        assert self._body is not None
        for piece in pieces:
            self._reason += self._body.feed(piece)
        if self._body.complete or len(self._reason) >= MAX_REASON:
            self._refuse()

    def _refuse(self) -> None:
        reason = self._reason[:MAX_REASON].decode("utf-8", "replace")
        shown = "".join(character if character.isprintable() else " " for character in reason).strip()
        what = f"upgrade of {self._path} failed: the peer answered {self._status}"
        if not self.taken.done():
            self.taken.set_exception(UpgradeRefused(what + (f": {shown}" if shown else ""), self._status))

    def _fail(self, what: str, cause: Exception | None = None) -> None:
        if not self.taken.done():
            error = ExchangeError(f"upgrade of {self._path} failed: {what}", sent=True)
            error.__cause__ = cause
            self.taken.set_exception(error)
