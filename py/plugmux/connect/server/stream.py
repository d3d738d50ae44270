"""The server's side of a streaming call, over ASGI: envelopes in, envelopes out, both at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from ...aio.deadline import Deadline
from ...aio.failure import is_failure
from ...exchange import Headers, Receive, Send
from ..code import Code
from ..codec import decompress
from ..envelope import COMPRESSED, END_STREAM, EnvelopeReader, EnvelopeTooLarge, envelope
from ..error import RpcError, error_to_json
from ..limits import too_large
from ..negotiation import TRACE, CallHeaders
from .context import Context
from .service import close
from .unary import Route, expired, failure

__all__ = ["StreamCall", "end_of_stream", "while_connected"]

T = TypeVar("T")

READ_AHEAD = 64 * 1024
"""Bytes that are read from the caller before the handler requests them."""
ENVELOPE_COST = 100
"""Bytes of overhead that each message has while it waits for the handler."""


async def while_connected(work: Awaitable[T], disconnected: Callable[[], Awaitable[bool]]) -> T | None:
    """Await the work. If the caller disconnects first, cancel it and return `None`.

    Args:
        work: is awaited in this task.
        disconnected: waits until the caller disconnects; returns `False` if that can no longer be detected.
    """
    task = asyncio.current_task()
    assert task is not None
    before, gone = task.cancelling(), False

    async def watch() -> None:
        nonlocal gone
        if (
            await disconnected() and task.cancelling() == before
        ):  # a second cancellation would end the handler's clean-up
            gone = True
            task.cancel()

    watching = asyncio.ensure_future(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if not gone or task.uncancel() > before:
            raise
        return None
    finally:
        watching.cancel()
        await asyncio.wait((watching,))


class Requests(AsyncIterator[Any]):
    """The request messages of one call.

    They are read while the handler does something else, so that the handler is cancelled as soon as the caller
    disconnects.

    Args:
        receive: the ASGI server's.
        hold: is told how many bytes are kept here.
        route: the method that is called.
        call_headers: the parsed header fields of the request.
    """

    def __init__(
        self, receive: Receive, hold: Callable[[int], object], route: Route, call_headers: CallHeaders
    ) -> None:
        self._receive = receive
        self._hold = hold
        self._route = route
        self._headers = call_headers
        self._reader = EnvelopeReader(route.limits.receive)
        self._ready: deque[tuple[int, bytes]] = deque()
        self._unread = 0  # bytes that have arrived since the handler had taken all messages
        self._fault: Exception | None = None
        self._ended = False
        self._changed = asyncio.Event()

    async def __anext__(self) -> Any:
        while not self._ready:
            if self._fault is not None:
                raise self._fault
            if self._ended:
                raise StopAsyncIteration
            await self._change()
        flags, data = self._ready.popleft()
        if not self._ready:
            self._unread = 0
            self._hold(self._reader.pending)
            self._changed.set()
        if flags & ~COMPRESSED:
            raise RpcError(Code.INVALID_ARGUMENT, f"an envelope of a request has the flags {flags:#04x}")
        if flags:
            if self._headers.request_compression is None:
                raise RpcError(Code.INTERNAL, "a message is compressed, but the request names no compression")
            data = decompress(
                data, self._headers.request_compression, self._route.limits.receive, Code.INVALID_ARGUMENT
            )
        return self._headers.codec.decode(self._route.method.request, data, Code.INVALID_ARGUMENT)

    async def read(self) -> bool:
        """Read until the caller disconnects; `False` if reading fails, which also fails the handler's next step."""
        try:
            while (event := await self._receive())["type"] != "http.disconnect":
                if not self._ended:
                    self._take(event.get("body", b""), more=event.get("more_body", False))
                while self._unread > READ_AHEAD and not self._ended:
                    await self._change()
        except Exception as error:
            self._fault = self._fault or error
            self._changed.set()
            return False
        return True

    def _take(self, data: bytes, *, more: bool) -> None:
        try:
            self._ready.extend(self._reader.feed(data))
        except EnvelopeTooLarge as error:
            self._fault = too_large("receive", error.size, self._route.limits.receive)
        if not more and (pending := self._reader.pending):
            self._fault = self._fault or RpcError(
                Code.INVALID_ARGUMENT, f"the request ends within an envelope, after {pending} bytes of it"
            )
        self._unread = self._unread + len(data) if self._ready else 0
        self._ended = not more or self._fault is not None
        self._hold(self._reader.pending + self._unread + ENVELOPE_COST * len(self._ready))
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class StreamCall:
    """One streaming call, whose head has been read.

    Args:
        route: the method that is called.
        call_headers: the parsed header fields of the request.
        context: the context of the call.
        send: the ASGI server's.
    """

    def __init__(self, route: Route, call_headers: CallHeaders, context: Context, send: Send) -> None:
        self._route = route
        self._headers = call_headers
        self._context = context
        self._send = send
        self._started = False
        self._unsent: OSError | None = None  # an ASGI server raises it when the caller has disconnected

    async def serve(self, receive: Receive, hold: Callable[[int], object]) -> None:
        """Serve the call. It raises a cancellation only if neither the deadline nor the caller has caused it.

        Args:
            receive: the ASGI server's.
            hold: is told how many bytes of the request are kept here, whenever the number changes.
        """
        if self._headers.fault is not None:
            await self._end(self._headers.fault)
            return
        requests = Requests(receive, hold, self._route, self._headers)
        token = TRACE.set(self._headers.trace)
        try:
            await while_connected(self._answer(requests), requests.read)
        finally:
            TRACE.reset(token)

    async def _answer(self, requests: Requests) -> None:
        await self._end(await self._run(requests))

    async def _run(self, requests: Requests) -> RpcError | None:
        """Run the handler and send its responses; return the error that the call ends with, if any."""
        deadline = None if self._headers.timeout is None else Deadline(self._headers.timeout, self._headers.started)
        self._context._deadline = deadline
        try:
            replies = self._route.handler(requests, self._context)
            try:
                async for reply in replies:
                    await self._send_message(reply)
            finally:
                await close(replies)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and deadline is not None and deadline.claims():
                return expired(self._headers)
            if error is self._unsent or not (is_failure(error) or isinstance(error, SystemExit)):
                raise
            return failure(error, self._route.method, self._context)
        finally:
            if deadline is not None:
                deadline.cancel()
        return None

    async def _send_message(self, reply: Any) -> None:
        data, compression = self._route.pack(reply, self._headers)
        body = envelope(data, 0 if compression is None else COMPRESSED)
        try:
            if not self._started:
                await self._start()
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
        except OSError as error:
            self._unsent = error
            raise

    async def _end(self, error: RpcError | None) -> None:
        """Send the end of the stream: the error, if any, and the trailers."""
        trailers = self._context.response_trailers.raw + (error.metadata.sendable() if error is not None else [])
        body = envelope(end_of_stream(error, trailers), END_STREAM)
        if not self._started:
            await self._start()
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _start(self) -> None:
        self._started = True
        headers = [(b"content-type", b"application/connect+" + self._headers.codec.name.encode())]
        if self._headers.response_compression is not None:
            headers.append((b"connect-content-encoding", self._headers.response_compression.name.encode()))
        headers += self._context.response_headers.raw
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})


def end_of_stream(error: RpcError | None, trailers: Headers) -> bytes:
    """The JSON of the message that ends a stream."""
    if error is None and not trailers:
        return b"{}"
    import json

    fields: dict[str, Any] = {}
    if error is not None:
        fields["error"] = error_to_json(error)
    if trailers:
        metadata: dict[str, list[str]] = {}
        for name, value in trailers:
            metadata.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        fields["metadata"] = metadata
    return json.dumps(fields).encode()
