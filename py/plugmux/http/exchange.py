"""One request and its response on a transport of their own: the caller's half of an HTTP exchange.

A `RoundTrip` is the protocol of that transport. Its subclasses take the response as a whole (`BufferedExchange`) or as
it comes (`StreamingExchange`). The only task sends an asynchronous body; the round trip owns it, ends it and awaits it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator
from typing import Self

import h11

from ..aio.closing import or_close, then_close
from ..aio.transports import report_held, write_pieces
from ..errors import BodyTooLarge, ExchangeError, StreamReset
from ..exchange import Request, Response
from .body import Body, Buffer, Pieces, RemoteProtocolError, append, compact
from .fields import WHOLE_WRITE, ChunkWriter
from .heads import Head, HeadCache, HeadReader

__all__ = ["HEAD_LIMIT", "BufferedExchange", "RoundTrip", "StreamingExchange"]

HEAD_LIMIT = 64 * 1024
"""Size of a response's head, in bytes."""
READ_AHEAD = 64 * 1024
"""Bytes of a streamed response that are read before its reader has asked for them."""


class RoundTrip(ABC):  # an asyncio.Protocol in all but its base class, as ServerConnection is
    """What both kinds of round trip share: the request, the framing of the response, and how it ends.

    Args:
        request: the request.
        cache: heads of responses that were read before.
        chunked: how a body that is asynchronous is framed; if it is not chunked, the head must say its length.
    """

    def __init__(self, request: Request, cache: HeadCache, *, chunked: bool = True) -> None:
        self.transport: asyncio.Transport
        self.over = False
        self._chunked = chunked
        self._request = request
        self._reader: HeadReader | None = HeadReader(h11.CLIENT, HEAD_LIMIT, cache=cache)
        self._body: Body | None = None
        self._writable: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._kept = 0
        self._sender: asyncio.Task[None] | None = None

    # What a kind of round trip does with the response

    @abstractmethod
    def _begun(self, head: Head, length: int | None) -> None: ...  # the length of the body, if it is known

    @abstractmethod
    def _received(self, data: Buffer) -> None: ...  # a piece of the body

    def _incomplete(self) -> None:  # more of the body is to come
        return

    @abstractmethod
    def _ended(self) -> None: ...

    @abstractmethod
    def _failed(self, error: BaseException) -> None: ...

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
            self._sender = asyncio.get_running_loop().create_task(self._send_body(body))
        elif len(body) <= WHOLE_WRITE:
            transport.write(head + body)
        else:
            write_pieces(transport, (head, body))
        if timeout is not None:
            self._timer = asyncio.get_running_loop().call_later(timeout, self._expire)

    async def _send_body(self, body: AsyncIterable[bytes]) -> None:
        try:
            pieces = aiter(body)
            await then_close(self._send_pieces(pieces), getattr(pieces, "aclose", None))
        except Exception as error:
            self._sender = None  # this task, which has nothing left to do
            self.fail(error)

    async def _send_pieces(self, pieces: AsyncIterator[bytes]) -> None:
        chunks = ChunkWriter(self.transport.write) if self._chunked else None
        write = self.transport.write if chunks is None else chunks.write
        async for piece in pieces:
            if self.over:
                return
            if piece:
                write(piece)
                if self._writable is not None:
                    await self._writable.wait()
        if chunks is not None and not self.over:
            chunks.end()

    # How it ends

    def abandon(self) -> None:
        """Abort the exchange, unless it has ended; the peer's handler is cancelled."""
        if not self.over:
            self._finish()
            self.transport.abort()

    def fail(self, error: BaseException) -> None:
        """Abort the exchange with an error, unless it has ended."""
        if not self.over:
            self.abandon()
            self._failed(error)

    async def end(self) -> None:
        """Abort the exchange, unless it has ended, and wait for the task that sends the request's body."""
        self.abandon()
        if self._sender is not None:
            await asyncio.wait((self._sender,))
            self._sender = None

    def _finish(self) -> None:
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._sender is not None:
            self._sender.cancel()

    def _complete(self) -> None:
        sending = self._sender is not None and not self._sender.done()
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
        self.transport = transport  # type: ignore[assignment]  # every transport that comes writes

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
        if not self.over:
            self._stream_ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over:
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


class BufferedExchange(RoundTrip):
    """A round trip that collects its whole response.

    Args:
        request: the request.
        cache: heads of responses that were read before.
        limit: bytes of body that the caller accepts.
    """

    def __init__(self, request: Request, cache: HeadCache, limit: int) -> None:
        super().__init__(request, cache)
        self._limit = limit
        self._response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._head: Head
        self._pieces: Pieces = []
        self._size = 0

    async def response(self) -> Response:
        """Wait for the last byte of the response. Cancelling the wait resets the stream.

        Raises:
            BodyTooLarge: the response's body passes the limit.
            ExchangeError: the stream broke, or the peer's response is not valid HTTP.
            TimeoutError: the timeout has run out.
        """
        if self._sender is not None:
            return await then_close(self._response, self.end)
        try:
            return await self._response
        finally:
            if not self.over:
                self.abandon()

    def _begun(self, head: Head, length: int | None) -> None:
        if length is not None and length > self._limit:
            raise BodyTooLarge(length, self._limit)
        self._head = head

    def _received(self, data: Buffer) -> None:
        self._size += len(data)
        if self._size > self._limit:
            self._pieces.clear()
            raise BodyTooLarge(self._size, self._limit)
        append(self._pieces, data)

    def _incomplete(self) -> None:
        compact(self._pieces)
        self._hold(self._size)

    def _ended(self) -> None:
        if self._kept:
            self._hold(0)
        if not self._response.done():
            self._response.set_result(Response(self._head.status, list(self._head.headers), b"".join(self._pieces)))

    def _failed(self, error: BaseException) -> None:
        if not self._response.done():
            self._response.set_exception(error)
            self._response.exception()  # A caller that gave up while the connection opened waits for no response.


class StreamingExchange(RoundTrip):
    """A round trip whose response is read as it comes. After `receive_head` it is an `exchange.StreamingResponse`.

    Reading stops when more than 64 KiB wait for the reader, and goes on when the reader has taken them.

    Attributes:
        status: the status code.
        headers: the header fields, in order.
    """

    def __init__(self, request: Request, cache: HeadCache, *, chunked: bool = True) -> None:
        super().__init__(request, cache, chunked=chunked)
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._pieces: Pieces = []
        self._size = 0
        self._held_by_reader = 0
        self._paused = False
        self._error: BaseException | None = None
        self._changed = asyncio.Event()

    async def receive_head(self) -> Self:
        """Wait for the response's head. Cancelling the wait resets the stream.

        Raises:
            ExchangeError: the stream broke, or the peer's response is not valid HTTP.
            TimeoutError: the timeout has run out.
        """
        return await or_close(self._with_head(), self.aclose)

    async def _with_head(self) -> Self:
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._change()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Give the bytes of the body that have come since the last call; the iteration ends with the body.

        Raises:
            ExchangeError: the stream broke, or the peer's response is not valid HTTP.
            StreamReset: this end has closed the response.
            TimeoutError: the timeout has run out.
        """
        while not self._pieces:
            if self.over:
                await self.end()
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            await self._change()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._paused and not self.over:
            self._paused = False
            self._hold(self._held_by_reader)
            self.transport.resume_reading()
        return bytes(data)

    async def aclose(self) -> None:
        """Close the response; before its end the stream is reset, so that the peer's handler is cancelled."""
        self._pieces.clear()
        self.fail(StreamReset("the response was closed before its end"))
        await self.end()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _begun(self, head: Head, length: int | None) -> None:
        self.status = head.status
        self.headers = list(head.headers)
        self._changed.set()

    def _received(self, data: Buffer) -> None:
        append(self._pieces, data)
        self._size += len(data)
        self._changed.set()
        if self._size > READ_AHEAD and not self._paused:
            self._paused = True
            self.transport.pause_reading()
            self._hold(self._size + self._held_by_reader)

    def hold(self, size: int) -> None:
        """Count what the reader keeps of what it was given.

        Args:
            size: bytes that it keeps now; this replaces the number that was reported before.
        """
        if size != self._held_by_reader and not self.over:
            self._held_by_reader = size
            self._hold(self._size + size)

    def _ended(self) -> None:
        self._changed.set()

    def _failed(self, error: BaseException) -> None:
        self._error = error
        self._changed.set()
