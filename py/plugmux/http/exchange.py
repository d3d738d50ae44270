"""One request and its response on a transport of their own: the caller's half of an HTTP exchange.

A `RoundTrip` is the protocol of that transport; what becomes of the response, its subclasses say (`response`). The only
task is the one that pumps a request body which is itself asynchronous; the round trip owns it, ends it and awaits it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable

import h11

from ..aio.transports import report_held
from ..errors import ExchangeError
from ..exchange import Request
from .body import Body, Buffer, RemoteProtocolError
from .fields import LAST_CHUNK, WHOLE_WRITE, chunk
from .heads import Head, HeadCache
from .reader import HeadReader

__all__ = ["HEAD_LIMIT", "RoundTrip"]

HEAD_LIMIT = 64 * 1024
"""Size of a response's head, in bytes."""
READ_AHEAD = 64 * 1024
"""How much of a streamed response is taken before its reader has asked for it."""


class RoundTrip(asyncio.Protocol, ABC):
    """What every round trip has in common: the request, the framing of the response, and how it ends.

    Args:
        request: what is asked.
        memory: heads of responses that were read before.
        chunked: how a body that is asynchronous is framed; if it is not chunked, the head must say its length.
    """

    def __init__(self, request: Request, memory: HeadCache, *, chunked: bool = True) -> None:
        self.transport: asyncio.Transport
        self.over = False
        self._chunked = chunked
        self._request = request
        self._reader: HeadReader | None = HeadReader(h11.CLIENT, HEAD_LIMIT, memory=memory)
        self._body: Body | None = None
        self._writable: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._kept = 0
        self._pump: asyncio.Task[None] | None = None

    # What a kind of round trip does with the response

    @abstractmethod
    def _begun(self, head: Head, length: int | None) -> None:
        """The head has come; the body has that many bytes, or an unknown number."""

    @abstractmethod
    def _received(self, data: Buffer) -> None:
        """A piece of the body has come."""

    def _incomplete(self) -> None:
        """All of the body that has come has been received, and more is missing."""

    @abstractmethod
    def _ended(self) -> None:
        """The response is complete."""

    @abstractmethod
    def _failed(self, error: BaseException) -> None:
        """The exchange has failed."""

    # The request

    def start(self, transport: asyncio.Transport, head: bytes, timeout: float | None) -> None:
        """Write the request: in one write, unless its body is asynchronous.

        Args:
            transport: the stream, which is this round trip's alone.
            head: the request's head.
            timeout: seconds until the round trip fails with `TimeoutError`; `None` for no limit.
        """
        self.transport = transport
        body = self._request.body
        if not isinstance(body, bytes):
            transport.write(head)
            self._pump = asyncio.get_running_loop().create_task(self._send_body(body))
        elif len(body) <= WHOLE_WRITE:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        if timeout is not None:
            self._timer = asyncio.get_running_loop().call_later(timeout, self._expire)

    async def _send_body(self, body: AsyncIterable[bytes]) -> None:
        try:
            await self._send_pieces(body)
        except Exception as error:
            self._pump = None  # this task, which has nothing left to do
            self.fail(error)

    async def _send_pieces(self, body: AsyncIterable[bytes]) -> None:
        pieces = aiter(body)
        try:
            async for piece in pieces:
                if self.over:
                    return
                if piece:
                    self.transport.write(chunk(piece) if self._chunked else piece)
                    if self._writable is not None:
                        await self._writable.wait()
            if self._chunked and not self.over:
                self.transport.write(LAST_CHUNK)
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    # How it ends

    def abandon(self) -> None:
        """Break the exchange off, unless it has ended: the peer's handler is cancelled."""
        if not self.over:
            self._finish()
            self.transport.abort()

    def fail(self, error: BaseException) -> None:
        """Break the exchange off and tell whoever waits for it."""
        if not self.over:
            self.abandon()
            self._failed(error)

    async def ended(self) -> None:
        """Wait for what still runs after the end: the pump of the request's body, which has been cancelled."""
        if self._pump is not None:
            await asyncio.wait((self._pump,))
            self._pump = None

    def _finish(self) -> None:
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._pump is not None:
            self._pump.cancel()

    def _complete(self) -> None:
        sending = self._pump is not None and not self._pump.done()
        self._finish()
        if sending:
            self.transport.abort()
        else:
            self.transport.close()
        self._ended()

    def _expire(self) -> None:
        self.fail(TimeoutError("the response did not come within the timeout of the request"))

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.over:
            return
        try:
            if self._body is None:
                self._read_head(data)
            else:
                self._read_body(self._body, (data,))
        except RemoteProtocolError as error:
            self.fail(ExchangeError(f"the peer's response is not valid HTTP: {error}", sent=True))
        except ExchangeError as error:
            self.fail(error)

    def eof_received(self) -> None:
        self._stream_ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream_ended(exc)
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def _read_head(self, data: bytes) -> None:
        reader = self._reader
        assert reader is not None
        head = reader.feed(data)
        if head is None:
            self._hold(self._kept + len(data))
            return
        self._reader = None
        if self._kept:
            self._hold(0)
        empty = self._request.method == "HEAD" or head.status in (204, 304)
        self._body, pieces = reader.body(head, empty=empty, until_eof=True)
        self._begun(head, None if empty or head.chunked else head.length)
        self._read_body(self._body, pieces)

    def _read_body(self, body: Body, pieces: tuple[Buffer, ...]) -> None:
        for piece in pieces:
            data = body.feed(piece)
            if data:
                self._received(data)
        if body.complete:
            self._complete()
        else:
            self._incomplete()

    def _hold(self, size: int) -> None:
        """Report to the transport how many received bytes are kept here."""
        self._kept = size
        report_held(self.transport, size)

    def _stream_ended(self, cause: Exception | None) -> None:
        if self.over:
            return
        if self._body is None:
            what = "the stream ended before the response had begun"
        elif cause is not None:
            what = "the stream broke within the response"
        else:
            try:
                self._body.feed_eof()
            except RemoteProtocolError as cut:
                what = f"the response is cut off: {cut}"
            else:
                self._complete()
                return
        error = ExchangeError(what if cause is None else f"{what}: {cause}", sent=True)
        error.__cause__ = cause
        self.fail(error)
