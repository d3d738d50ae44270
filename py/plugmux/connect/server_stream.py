"""The server's side of a streaming call, over ASGI: envelopes in, envelopes out, both at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

from ..deadline import Deadline
from ..exchange import Headers
from .code import Code
from .compression import decompressed
from .context import Context
from .envelope import COMPRESSED, END_STREAM, EnvelopeReader, EnvelopeTooLarge, envelope
from .error import RpcError, error_to_json
from .limits import too_large
from .server_unary import Route, expired, failure
from .service import close
from .terms import Terms
from .trace import TRACE, trace_fields

__all__ = ["StreamCall"]

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Requests(AsyncIterator[Any]):
    """The messages of the caller, read ahead by what one ASGI event holds and no further.

    Reading goes on while the handler does something else, so that the caller's leaving cancels the handler at once.
    """

    def __init__(self, receive: Receive, route: Route, terms: Terms) -> None:
        self._receive = receive
        self._route = route
        self._terms = terms
        self._reader = EnvelopeReader(route.limits.receive)
        self._ready: deque[tuple[int, bytes]] = deque()
        self._fault: Exception | None = None
        self._ended = False
        self._waiting: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self.disconnected = False

    async def __anext__(self) -> Any:
        while not self._ready:
            if self._fault is not None:
                raise self._fault
            if self._ended:
                raise StopAsyncIteration
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        flags, data = self._ready.popleft()
        if not self._ready:
            _wake(self._drained)
        if flags & ~COMPRESSED:
            raise RpcError(Code.INVALID_ARGUMENT, f"an envelope of a request has the flags {flags:#04x}")
        if flags:
            if self._terms.received is None:
                raise RpcError(Code.INTERNAL, "a message is compressed, but the request names no compression")
            data = decompressed(self._terms.received, data, self._route.limits.receive)
        try:
            return self._terms.codec.decode(self._route.method.request, data)
        except ValueError as error:
            raise RpcError(Code.INVALID_ARGUMENT, f"a message is {error}") from error

    async def read(self, handler: asyncio.Task[Any]) -> None:
        """Read until the caller disconnects, and then cancel the handler."""
        try:
            while (event := await self._receive())["type"] != "http.disconnect":
                if not self._ended:
                    self._take(event)
                    _wake(self._waiting)
                while self._ready and not self._ended:
                    self._drained = asyncio.get_running_loop().create_future()
                    await self._drained
        except Exception as error:
            self._fault = self._fault or error
            _wake(self._waiting)
        else:
            self.disconnected = True
            handler.cancel()

    def _take(self, event: MutableMapping[str, Any]) -> None:
        try:
            self._ready.extend(self._reader.feed(event.get("body", b"")))
        except EnvelopeTooLarge as error:
            self._fault = too_large("receive", error.size, self._route.limits.receive)
            self._ended = True
            return
        if not event.get("more_body", False):
            self._ended = True
            if self._reader.pending:
                self._fault = RpcError(
                    Code.INVALID_ARGUMENT,
                    f"the request ends within an envelope, after {self._reader.pending} bytes of it",
                )


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


class _CallerGoneError(Exception):
    """Nothing can be sent any more, as the caller has gone; `reason` is what the ASGI server raised."""

    def __init__(self, reason: OSError) -> None:
        self.reason = reason


class StreamCall:
    """One streaming call, whose head has been read.

    Args:
        route: the method that is called.
        terms: the caller's terms.
        headers: all fields of the request.
        fields: the same as a mapping.
        connection: what the host of the connection says about it.
        send: the ASGI server's.
    """

    def __init__(
        self,
        route: Route,
        terms: Terms,
        headers: Headers,
        fields: Mapping[bytes, bytes],
        connection: Mapping[str, object],
        send: Send,
    ) -> None:
        self._route = route
        self._terms = terms
        self._fields = fields
        self._context = Context(route.method, headers, connection)
        self._send = send
        self._started = False

    async def serve(self, receive: Receive) -> None:
        """Answer the call; only a cancellation that is neither the deadline's nor the caller's comes out of this."""
        task = asyncio.current_task()
        assert task is not None
        requests = Requests(receive, self._route, self._terms)
        deadline = None if self._terms.timeout is None else Deadline(self._terms.timeout)
        self._context._deadline = deadline
        token = TRACE.set(trace_fields(self._fields)) if b"traceparent" in self._fields else None
        before = task.cancelling()
        reading = asyncio.ensure_future(requests.read(task))
        try:
            await self.end(await self._answer(requests, deadline))
        except asyncio.CancelledError:
            if not requests.disconnected or task.uncancel() > before:
                raise
        except _CallerGoneError as gone:
            raise gone.reason from None
        finally:
            if token is not None:
                TRACE.reset(token)
            reading.cancel()
            await asyncio.wait((reading,))

    async def _answer(self, requests: Requests, deadline: Deadline | None) -> RpcError | None:
        try:
            replies = self._route.handler(requests, self._context)
            try:
                async for reply in replies:
                    await self._send_message(reply)
            finally:
                await close(replies)
        except _CallerGoneError:
            raise
        except Exception as error:
            return failure(error, self._route.method)
        except asyncio.CancelledError:
            if deadline is None or requests.disconnected or not deadline.claims():
                raise
            return expired(self._terms)
        finally:
            if deadline is not None:
                deadline.cancel()
        return None

    async def _send_message(self, reply: Any) -> None:
        data, compressed = self._route.encode(reply, self._terms)
        if not self._started:
            await self._start()
        body = envelope(data, COMPRESSED if compressed else 0)
        try:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
        except OSError as error:  # how an ASGI server says that the caller has gone: no failure of the handler
            raise _CallerGoneError(error) from error

    async def _start(self) -> None:
        self._started = True
        headers = [(b"content-type", b"application/connect+" + self._terms.codec.name.encode())]
        if self._terms.sent is not None:
            headers.append((b"connect-content-encoding", self._terms.sent.name.encode()))
        headers += self._context.response_headers.raw
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def end(self, error: RpcError | None) -> None:
        """Send the end of the stream: the error, if there is one, and the trailers."""
        if not self._started:
            await self._start()
        trailers = self._context.response_trailers.raw + (error.metadata.raw if error is not None else [])
        body = envelope(end_of_stream(error, trailers), END_STREAM)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


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
