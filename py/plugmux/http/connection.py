"""One connection to a server: from the socket's callbacks to a complete request, and back.

A connection carries one exchange after another. It reads a head, chooses who answers (the app's direct entry, or
ASGI), feeds the request's body to that exchange, and when the response is written goes on with the next request or
ends. No task runs here: an exchange has one, from the moment its handler can run.

    HEAD ──► REQUEST ──► RESPONSE ──► HEAD      the response is complete, the connection is kept
      │         │            └──────► OVER      the response is complete, the connection is not kept
      │         └──► LINGER ────────► OVER      the response is complete, the rest of the request is thrown away
      └──────────────────────────────► OVER      the peer ended, broke a rule, or took too long

The peer's end of stream while its exchange is under way means that the caller has gone: the handler is cancelled, as
Go's net/http does. A caller therefore keeps its side open until it has the response.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import h11

from ..aio.deadline import cancel_once
from ..aio.timeouts import TimeoutQueue
from ..aio.transports import abort_with_rst, report_held, switch_protocol
from ..errors import StreamReset
from ..exchange import RequestHead, Response
from .asgi import ASGIExchange, Exchange
from .body import Body, Buffer, RemoteProtocolError
from .fast_path import DirectExchange
from .fields import CONTINUE, WHOLE_WRITE, content_length, encode_fields, plain_answer, response_head
from .heads import Head
from .phase import HEAD, LINGER, OVER, REQUEST, RESPONSE
from .reader import HeadReader

if TYPE_CHECKING:
    from .server import Server

__all__ = ["ServerConnection"]

logger = logging.getLogger("plugmux.http")

AT_ONCE: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class ServerConnection(asyncio.Protocol):
    """The protocol that a server runs on one connection.

    Args:
        server: whose app answers.
        about: what the host says about the connection; becomes `RequestHead.connection`.
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
        "_time_limit",
        "_with_body",
        "_writable",
        "about",
        "kept",
        "server",
        "transport",
    )

    def __init__(self, server: Server, about: Mapping[str, object]) -> None:
        self.server = server
        self.about = about
        self.transport: asyncio.Transport
        self._phase = HEAD
        self._time_limit: TimeoutQueue[ServerConnection] | None = None
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
        self.transport = transport  # type: ignore[assignment]
        self.server.connections.add(self)
        self._run_out_in(self.server.heads)

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
        self._caller_gone()

    def connection_lost(self, exc: Exception | None) -> None:
        self._caller_gone()
        self._leave()

    def pause_writing(self) -> None:
        self._writable = asyncio.Event()
        self._run_out_in(self.server.writes)

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None
            self._run_out_in(self.server.idle if self._phase is HEAD else None)
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
            reader = self._reader = HeadReader(h11.SERVER, self.server.limits.head_bytes, memory=self.server.memory)
            if self._exchange is not None:  # a later request, whose time begins with its first byte
                self._run_out_in(self.server.heads)
        try:
            head = reader.feed(data)
        except RemoteProtocolError as error:
            self._refuse(error.error_status_hint)
            return
        if head is None:
            self.hold(self.kept + len(data))
            return
        self._reader = None
        self._run_out_in(None)
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
        if self.server.direct is not None and head.upgrade is None:
            call = self.server.direct(request)
            if call is not None:
                return DirectExchange(self, request, call, head)
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
            self._run_out_in(None)
            exchange.end()
        else:
            exchange.wait()
            if exchange.collects:
                self._run_out_in(self.server.bodies)

    def _refuse(self, status: int) -> None:
        """Answer what cannot be read to its end, and end the connection."""
        if self._phase is HEAD:
            self._with_body = True
            self._reader = None
        self._phase = REQUEST
        self.respond(plain_answer(status))

    def _give_up(self, status: int) -> None:
        """The request under way cannot be read to its end: tell the caller, as far as that is still possible."""
        exchange = self._exchange
        assert exchange is not None
        begun = exchange.begun
        exchange.disconnect()
        if begun:
            self.fail()
        else:
            self._refuse(status)

    def _run_out_in(self, time_limit: TimeoutQueue[ServerConnection] | None) -> None:
        """Have a time limit begin, in the place of the one that runs: there is one at a time, or none."""
        if self._writable is not None and self._time_limit is self.server.writes and self._phase is not LINGER:
            return  # That of writing stays, whatever else begins or ends meanwhile.
        if self._time_limit is not None:
            self._time_limit.discard(self)
        self._time_limit = time_limit
        if time_limit is not None:
            time_limit.add(self)

    def expired(self) -> None:
        """A time limit has passed: that of the head, of the next request, of a body, of writing or of lingering."""
        if self._writable is not None:
            self.abort()
        elif self._phase is REQUEST:
            self._give_up(408)
        elif self._reader is not None:
            self._refuse(408)
        else:
            self._phase = OVER
            self.transport.abort()

    def _caller_gone(self) -> None:
        phase, self._phase = self._phase, OVER
        if phase in (REQUEST, RESPONSE):
            assert self._exchange is not None
            self._exchange.disconnect()
            abort_with_rst(self.transport)
        self.resume_writing()

    # What an exchange calls

    def respond(self, response: Response) -> None:
        """Write a whole response, in one write, and go on. It is dropped if the caller has gone.

        Raises:
            ConfigError: the response has a field or a status that cannot be sent; nothing has been written.
        """
        if self._phase is OVER:
            return
        close = self.must_close or self._phase is not RESPONSE
        fields = encode_fields(response.headers)
        body = response.body
        framing = content_length(len(body)) if response.status not in (204, 304) else b""
        head = response_head(response.status, fields, framing, close=close)
        if not body or not self._with_body or not framing:
            self.transport.write(head)
        elif len(body) <= WHOLE_WRITE:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))
        self.finish(close=close)

    def finish(self, *, close: bool) -> None:
        """The response has been written to its end: read the next request, or end the connection."""
        if self._phase is RESPONSE and not close:
            self._phase = HEAD
            self._run_out_in(self.server.idle)
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
        """End our side, and let the peer read the response before the connection goes."""
        self._phase = LINGER
        if self.transport.can_write_eof():  # TLS has no half close; there the peer ends when it has read the response
            self.transport.write_eof()
        self.resume_reading()
        self._run_out_in(self.server.lingering)

    def write_continue(self) -> None:
        """Let a peer that waits for it send the body."""
        self.transport.write(CONTINUE)

    def fail(self) -> None:
        """The response has begun and cannot be completed."""
        if self._phase is not OVER:
            self._phase = OVER
            abort_with_rst(self.transport)

    def run(self, work: Coroutine[Any, Any, None], *, at_once: bool = False) -> asyncio.Task[None]:
        """Start the task of an exchange, which is the server's to await when it shuts down.

        Args:
            work: what the task does.
            at_once: whether it runs to its first wait within this call, where Python can do that; a handler that waits
                for nothing then costs no turn of the loop.
        """
        task = asyncio.Task(work, loop=asyncio.get_running_loop(), **(AT_ONCE if at_once else {}))
        if not task.done():
            self.server.tasks.add(task)
        return task

    def cancel(self, task: asyncio.Task[None]) -> None:
        """Cancel the task of an exchange, even one that has not had its first turn yet."""
        task.add_done_callback(self.server.tasks.discard)
        cancel_once(task)

    def pause_reading(self) -> None:
        """Stop taking bytes from the peer."""
        if not self._reading_paused and self._phase is not OVER:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes from the peer again."""
        if self._reading_paused:
            self._reading_paused = False
            if self._phase is not OVER:
                self.transport.resume_reading()

    def hold(self, size: int) -> None:
        """Let the transport count what is kept of what came: so much of the request under way, and all behind it."""
        self.kept = size
        report_held(self.transport, size + len(self._rest))

    async def drain(self) -> None:
        """Wait until the transport takes more.

        Raises:
            StreamReset: the caller has gone.
        """
        if self._writable is not None:
            await self._writable.wait()
        if self._phase is OVER:
            raise StreamReset("the caller has gone: nothing can be sent to it any more")

    def upgrade(
        self, factory: Callable[[], asyncio.BaseProtocol], head: bytes
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Hand the connection over to another protocol."""
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
        """Whether the connection ends with the response under way."""
        return not self._keep or self.server.closing

    def serves(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether the exchange under way is this task's."""
        return task is not None and self._exchange is not None and self._exchange.task is task

    def abort(self) -> None:
        """Cut the connection off; its exchange is cancelled with it."""
        self._caller_gone()
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
        self._run_out_in(None)
        server.left()
