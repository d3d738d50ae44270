"""One connection to a server: from the socket's callbacks to a complete request, and back.

A connection carries one exchange after another. It reads a head, chooses who answers (the app's fast path, or ASGI),
feeds the request's body to that exchange, and when the response is written goes on with the next request or ends. No
task runs here: an exchange has one, from the moment its handler can run.

    HEAD ──► REQUEST ──► RESPONSE ──► HEAD      the response is complete, the connection is kept
      │         │            └──────► OVER      the response is complete, the connection is not kept
      │         └──► LINGER ────────► OVER      the response is complete, the rest of the request is thrown away
      └──────────────────────────────► OVER      the peer ended, broke a rule, or took too long

The peer's end of stream while its exchange is under way means that the caller has gone: the handler is cancelled, as
Go's net/http does. A caller therefore keeps its side open until it has the response.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import h11

from ..aio.timeouts import TimeoutQueue
from ..aio.transports import abort_with_rst, report_held, switch_protocol, write_pieces
from ..errors import StreamReset
from ..exchange import RequestHead, Response
from .asgi import ASGIExchange
from .body import Body, Buffer, RemoteProtocolError
from .fast_path import FastPathExchange
from .fields import CONTINUE, encode_response, plain_answer
from .heads import Head, HeadReader
from .serving import ConnectionTimeouts, Exchange, ExchangeHost

__all__ = ["ServerConnection"]

logger = logging.getLogger("plugmux.http")


class Phase(enum.Enum):
    """What a connection is doing."""

    HEAD = enum.auto()  # waits for a request, or reads its head
    REQUEST = enum.auto()  # an exchange is under way; its request's body still comes
    RESPONSE = enum.auto()  # the request is whole, its response is not
    LINGER = enum.auto()  # the response is complete; what comes is discarded
    OVER = enum.auto()  # closed, lost or handed over


# Module-level names, which Python 3.11 finds faster, as in `yamux/state.py`.
HEAD: Final = Phase.HEAD
REQUEST: Final = Phase.REQUEST
RESPONSE: Final = Phase.RESPONSE
LINGER: Final = Phase.LINGER
OVER: Final = Phase.OVER


class ConnectionHost(ExchangeHost, Protocol):
    """What a connection asks of its server, besides what exchanges do."""

    timeouts: ConnectionTimeouts[ServerConnection]
    connections: set[ServerConnection]

    def connection_ended(self) -> None:
        """A connection has left `connections`."""


class ServerConnection:
    """The protocol that a server runs on one connection: an `asyncio.Protocol` in all but its base class.

    A class with a base in asyncio cannot be compiled to a class of its own, whose attributes need no look-up.

    Args:
        server: the server whose app answers.
        about: what is known about the connection; becomes `RequestHead.connection`.
        kept: (attribute) bytes of the request under way that are kept here, as `hold` was told last.
    """

    __slots__ = (
        "_body",
        "_exchange",
        "_keep",
        "_phase",
        "_reader",
        "_reading_paused",
        "_rest",
        "_timeout",
        "_timeouts",
        "_with_body",
        "_writable",
        "about",
        "kept",
        "server",
        "transport",
    )

    def __init__(self, server: ConnectionHost, about: Mapping[str, object]) -> None:
        self.server = server
        self.about = about
        self.transport: asyncio.Transport
        self._phase: Phase = HEAD
        self._timeouts = server.timeouts
        self._timeout: TimeoutQueue[ServerConnection] | None = None
        self._reader: HeadReader | None = None
        self._body: Body | None = None
        self._exchange: Exchange | None = None
        self._rest = bytearray()
        self._keep = False
        self.kept = 0
        self._with_body = True
        self._reading_paused = False
        self._writable: asyncio.Event | None = None

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # every transport that comes writes
        self.server.connections.add(self)
        self._start_timeout(self._timeouts.heads)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase is HEAD and not self._rest and self._writable is None:
            self._read_head(data)
        elif phase is REQUEST:
            self._read_body((data,))
        elif phase is HEAD or phase is RESPONSE:
            self._rest += data
            self.hold(self.kept)
            if len(self._rest) > self.server.limits.buffer_bytes:
                self.pause_reading()

    def eof_received(self) -> None:
        self._disconnected()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disconnected()
        self._leave()

    def pause_writing(self) -> None:
        self._writable = asyncio.Event()
        self._start_timeout(self._timeouts.writes)

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None
            self._start_timeout(self._timeouts.idle if self._phase is HEAD else None)
            self._go_on()

    # Reading

    def _go_on(self) -> None:
        """Read the next request, unless the caller does not read its responses."""
        if self._phase is HEAD and self._writable is None:
            self.resume_reading()
            if self._rest:
                rest = bytes(self._rest)
                self._rest.clear()
                self.hold(0)
                self._read_head(rest)

    def _read_head(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            reader = self._reader = HeadReader(h11.SERVER, self.server.limits.head_bytes, cache=self.server.cache)
            if self._exchange is not None:  # a later request, whose time begins with its first byte
                self._start_timeout(self._timeouts.heads)
        try:
            head = reader.feed(data)
        except RemoteProtocolError as error:
            self._refuse(error.error_status_hint)
            return
        if head is None:
            self.hold(self.kept + len(data))
            return
        self._reader = None
        if self._timeout is not None:
            self._start_timeout(None)
        if self.kept:
            self.hold(0)
        self._begin(reader, head)

    def _begin(self, reader: HeadReader, head: Head) -> None:
        request = RequestHead(head.method, head.path, head.query, list(head.headers), self.about)
        self._phase = REQUEST
        self._with_body = head.method != "HEAD"
        self._keep = not head.close
        self._body, pieces = reader.body(head)
        if self.server.closing:
            self.respond(plain_answer(503))
            return
        try:
            self._exchange = self._choose(request, head)
        except Exception:
            logger.exception("%s %s was not accepted", request.method, request.path)
            self.respond(plain_answer(500))
            return
        if self._phase is REQUEST:
            self._read_body(pieces)

    def _choose(self, request: RequestHead, head: Head) -> Exchange:
        if self.server.fast_path is not None and head.upgrade is None:
            call = self.server.fast_path(request)
            if call is not None:
                return FastPathExchange(self, request, call, head)
        return ASGIExchange(self, request, head)

    def _read_body(self, pieces: tuple[Buffer, ...]) -> None:
        body, exchange = self._body, self._exchange
        assert body is not None
        assert exchange is not None
        try:
            for piece in pieces:
                data = body.feed(piece)
                if data:
                    exchange.feed(data)
                    if self._phase is not REQUEST:
                        return
        except RemoteProtocolError:
            self._give_up(400)
            return
        if body.complete:
            self._phase = RESPONSE
            if body.rest:
                self._rest += body.rest
                self.hold(self.kept)
            if self._timeout is not None:
                self._start_timeout(None)
            exchange.end()
        else:
            exchange.wait()
            if exchange.collects:
                self._start_timeout(self._timeouts.bodies)

    def _refuse(self, status: int) -> None:
        """Answer with an error and end the connection."""
        if self._phase is HEAD:
            self._with_body = True
            self._reader = None
        self._phase = REQUEST
        self.respond(plain_answer(status))

    def _give_up(self, status: int) -> None:
        """Answer a request that cannot be read to its end, as far as that is still possible."""
        exchange = self._exchange
        assert exchange is not None
        begun = exchange.response_started
        exchange.disconnect()
        if begun:
            self.fail()
        else:
            self._refuse(status)

    def _start_timeout(self, queue: TimeoutQueue[ServerConnection] | None) -> None:
        """Start a timeout in place of the one that runs: there is one at a time, or none."""
        current = self._timeout
        if self._writable is not None and current is self._timeouts.writes and self._phase is not LINGER:
            return  # the one of writing stays, whatever else begins or ends meanwhile
        if current is not None:
            current.discard(self)
        self._timeout = queue
        if queue is not None:
            queue.add(self)

    def expired(self) -> None:
        """A timeout has passed: that of the head, of the next request, of a body, of writing or of lingering."""
        if self._writable is not None:
            self.abort()
        elif self._phase is REQUEST:
            self._give_up(408)
        elif self._reader is not None:
            self._refuse(408)
        else:
            self._phase = OVER
            self.transport.abort()

    def _disconnected(self) -> None:
        phase, self._phase = self._phase, OVER
        if phase in (REQUEST, RESPONSE):
            assert self._exchange is not None
            self._exchange.disconnect()
            abort_with_rst(self.transport)
        if self._writable is not None:
            self.resume_writing()

    # What an exchange calls (`serving.Connection`)

    def respond(self, response: Response) -> None:
        if self._phase is OVER:
            return
        close = self.must_close or self._phase is not RESPONSE
        pieces = encode_response(response, with_body=self._with_body, close=close)
        write_pieces(self.transport, pieces)
        self.finish(close=close)

    def finish(self, *, close: bool) -> None:
        if self._phase is RESPONSE and not close:
            self._phase = HEAD
            self._start_timeout(self._timeouts.idle)
            if self._rest:
                asyncio.get_running_loop().call_soon(self._go_on)
            else:
                self.resume_reading()
        elif self._phase is REQUEST:
            self._linger()
        elif self._phase is RESPONSE:
            self._phase = OVER
            self.transport.close()

    def _linger(self) -> None:
        """End our side, and let the peer read the response before the connection closes."""
        self._phase = LINGER
        if self.transport.can_write_eof():  # TLS has no half-close; there the peer ends when it has read the response
            self.transport.write_eof()
        self.resume_reading()
        self._start_timeout(self._timeouts.lingering)

    def write_continue(self) -> None:
        self.transport.write(CONTINUE)

    def fail(self) -> None:
        if self._phase is not OVER:
            self._phase = OVER
            abort_with_rst(self.transport)

    def pause_reading(self) -> None:
        if not self._reading_paused and self._phase is not OVER:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            if self._phase is not OVER:
                self.transport.resume_reading()

    def hold(self, size: int) -> None:
        self.kept = size
        report_held(self.transport, size + len(self._rest))

    async def drain(self) -> None:
        if self._writable is not None:
            await self._writable.wait()
        if self._phase is OVER:
            raise StreamReset("the caller has gone: nothing can be sent to it any more")

    def upgrade(
        self, factory: Callable[[], asyncio.BaseProtocol], head: bytes
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        if self._phase is not RESPONSE:
            raise StreamReset("the caller has gone, or still sends its request: its connection cannot be upgraded")
        protocol = factory()
        self.resume_reading()
        self._leave()
        rest = bytes(self._rest)
        self._rest.clear()
        self.hold(0)
        switch_protocol(self.transport, protocol, rest, answer=head)
        return self.transport, protocol

    @property
    def must_close(self) -> bool:
        return not self._keep or self.server.closing

    def serves(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether the exchange under way is this task's."""
        return task is not None and self._exchange is not None and self._exchange.task is task

    def abort(self) -> None:
        """Abort the connection and cancel its exchange."""
        self._disconnected()
        self.transport.abort()

    def close_if_idle(self) -> None:
        """End the connection if it waits for a request."""
        if self._phase is HEAD and self._reader is None and not self._rest:
            self._phase = OVER
            self.transport.close()

    def _leave(self) -> None:
        self._phase = OVER
        self._writable = None
        self._exchange = None
        server = self.server
        server.connections.discard(self)
        if self._timeout is not None:
            self._start_timeout(None)
        server.connection_ended()
