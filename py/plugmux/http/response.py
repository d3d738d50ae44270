"""The response to a request of ours: as a whole (`BufferedExchange`), or read as it comes (`StreamingExchange`)."""

from __future__ import annotations

import asyncio
from typing import Self

from ..errors import BodyTooLarge, StreamReset
from ..exchange import Request, Response
from .body import Buffer
from .exchange import RoundTrip
from .heads import Head, HeadCache
from .pieces import Pieces, compact, keep

__all__ = ["BufferedExchange", "StreamingExchange"]

READ_AHEAD = 64 * 1024
"""How much of a streamed response is taken before its reader has asked for it."""


class BufferedExchange(RoundTrip):
    """A round trip whose response is wanted whole.

    Args:
        request: what is asked.
        memory: heads of responses that were read before.
        limit: bytes of body that the caller accepts.
    """

    def __init__(self, request: Request, memory: HeadCache, limit: int) -> None:
        super().__init__(request, memory)
        self._limit = limit
        self._response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: Pieces = []
        self._size = 0

    async def response(self) -> Response:
        """Wait for the last byte of the response. Cancelling the wait resets the stream.

        Raises:
            BodyTooLarge: the response's body passes the limit.
            ExchangeError: the stream broke, or what came is no HTTP.
            TimeoutError: the timeout has run out.
        """
        try:
            return await self._response
        finally:
            if not self.over or self._pump is not None:
                self.abandon()
                await self.ended()

    def _begun(self, head: Head, length: int | None) -> None:
        if length is not None and length > self._limit:
            raise BodyTooLarge(length, self._limit)
        self._status = head.status
        self._headers = list(head.headers)

    def _received(self, data: Buffer) -> None:
        self._size += len(data)
        if self._size > self._limit:
            self._pieces.clear()
            raise BodyTooLarge(self._size, self._limit)
        if self._pieces:
            keep(self._pieces, data)
        else:
            self._pieces.append(data)

    def _incomplete(self) -> None:
        compact(self._pieces)
        self._hold(self._size)

    def _ended(self) -> None:
        if self._kept:
            self._hold(0)
        if not self._response.done():
            self._response.set_result(Response(self._status, self._headers, b"".join(self._pieces)))

    def _failed(self, error: BaseException) -> None:
        if not self._response.done():
            self._response.set_exception(error)


class StreamingExchange(RoundTrip):
    """A round trip whose response is read as it comes: an `exchange.StreamingResponse`, once `begun` has returned.

    Reading stops when more than 64 KiB wait for the reader, and goes on when the reader has taken them.

    Attributes:
        status: the status code.
        headers: the header fields, in order.
    """

    def __init__(self, request: Request, memory: HeadCache, *, chunked: bool = True) -> None:
        super().__init__(request, memory, chunked=chunked)
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._pieces: Pieces = []
        self._size = 0
        self._kept_by_reader = 0
        self._paused = False
        self._error: BaseException | None = None
        self._changed = asyncio.Event()

    async def begun(self) -> Self:
        """Wait for the response's head. Cancelling the wait resets the stream.

        Raises:
            ExchangeError: the stream broke, or what came is no HTTP.
            TimeoutError: the timeout has run out.
        """
        try:
            while not self.status:
                if self._error is not None:
                    raise self._error
                await self._change()
        except BaseException:
            await self.aclose()
            raise
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Give what has come of the body since the last time; at its end, the iteration ends.

        Raises:
            ExchangeError: the stream broke, or what came is no HTTP.
            StreamReset: this end has closed the response.
            TimeoutError: the timeout has run out.
        """
        while not self._pieces:
            if self.over:
                await self.ended()
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            await self._change()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._paused and not self.over:
            self._paused = False
            self._hold(self._kept_by_reader)
            self.transport.resume_reading()
        return bytes(data)

    async def aclose(self) -> None:
        """Let go of the response; before its end the stream is reset, so that the peer's handler is cancelled."""
        self._pieces.clear()
        self.fail(StreamReset("the response was closed before its end"))
        await self.ended()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _begun(self, head: Head, length: int | None) -> None:
        self.status = head.status
        self.headers = list(head.headers)
        self._changed.set()

    def _received(self, data: Buffer) -> None:
        if self._pieces:
            keep(self._pieces, data)
        else:
            self._pieces.append(data)
        self._size += len(data)
        self._changed.set()
        if self._size > READ_AHEAD and not self._paused:
            self._paused = True
            self.transport.pause_reading()
            self._hold(self._size + self._kept_by_reader)

    def hold(self, size: int) -> None:
        """Count what the reader keeps of what it was given.

        Args:
            size: bytes that it keeps now, in place of what it told before.
        """
        if size != self._kept_by_reader and not self.over:
            self._kept_by_reader = size
            self._hold(self._size + size)

    def _ended(self) -> None:
        self._changed.set()

    def _failed(self, error: BaseException) -> None:
        self._error = error
        self._changed.set()
