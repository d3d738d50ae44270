"""The client's side of a streaming call.

    requests ── interceptors ── exchange ── the transport
    responses <─ interceptors <─┘

`StreamingCall.exchange` is the innermost function: an asynchronous generator that sends the requests and yields the
responses. Closing it resets the stream. Dropping it does the same, because the event loop closes generators that are
garbage-collected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ...aio.deadline import Deadline
from ...errors import ExchangeError, LinkError, StreamClosed
from ...exchange import Request, StreamingResponse
from ..code import Code
from ..codec import decompress
from ..envelope import COMPRESSED, END_STREAM, EnvelopeReader, EnvelopeTooLarge, envelope
from ..error import RpcError, error_from_json
from ..interceptor import StreamNext, around_stream
from ..limits import too_large
from ..metadata import Metadata
from ..server.context import Context
from ..server.service import close
from ..spec import MethodSpec
from .settings import ClientSettings
from .wire import (
    cause_of,
    compression_of,
    json_object,
    protocol_error,
    request_headers,
    same_type,
    to_rpc_error,
    too_late,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["BidiStream", "ServerStream", "StreamingCall", "each"]

Req = TypeVar("Req", bound="Message")
Res = TypeVar("Res", bound="Message")


class StreamingCall:
    """One streaming call.

    Args:
        settings: those of the client.
        method: the method that is called.
        timeout: seconds for the whole call, `None` for no limit.
    """

    def __init__(self, settings: ClientSettings, method: MethodSpec[Any, Any], timeout: float | None) -> None:
        self._settings = settings
        self._method = method
        self._timeout = timeout
        self._content_type = b"application/connect+" + settings.codec.name.encode()
        self._fault: BaseException | None = None
        self.run: StreamNext = around_stream(settings.interceptors, self.exchange)

    async def exchange(self, requests: AsyncIterator[Any], context: Context) -> AsyncGenerator[Any, None]:
        """Send the requests and yield the responses."""
        if self._timeout is not None and self._timeout <= 0:
            raise too_late(self._method, self._timeout, sent=False)
        deadline = None if self._timeout is None or self._timeout == float("inf") else Deadline(self._timeout)
        context._deadline = deadline
        incoming: StreamingResponse | None = None
        try:
            incoming = await self._settings.transport.send(await self._request(requests, context))
            responses = _ResponseReader(self._settings, self._method, self._content_type, incoming, context)
            async for chunk in incoming:
                for message in responses.feed(chunk):
                    if deadline is None:
                        yield message
                        continue
                    deadline.guard(None)
                    yield message
                    if deadline.expired:
                        raise too_late(self._method, self._timeout)
                    deadline.guard(asyncio.current_task())
            responses.finish()
        except (ExchangeError, LinkError, TimeoutError) as error:
            if self._fault is not None:
                raise self._fault from None
            raise to_rpc_error(error, self._method, self._timeout, self._settings.limits) from cause_of(error)
        except asyncio.CancelledError:
            if deadline is None or not deadline.claims():
                raise
            raise too_late(self._method, self._timeout) from None
        finally:
            if deadline is not None:
                deadline.cancel()
            if incoming is not None:
                await incoming.aclose()
            await close(requests)

    async def _request(self, requests: AsyncIterator[Any], context: Context) -> Request:
        settings, time_left = self._settings, context.time_left
        headers = request_headers(settings.headers, context.request_headers.raw, time_left)
        headers.append((b"content-type", self._content_type))
        if settings.compression is not None:
            headers.append((b"connect-content-encoding", settings.compression.name.encode()))
        if settings.accept:
            headers.append((b"connect-accept-encoding", settings.accept))
        if self._method.kind.client_streams:
            return Request(self._method.path, headers, self._envelopes(requests), timeout=time_left)
        body = b"".join([self._envelope(request) async for request in requests])
        return Request(self._method.path, headers, body, timeout=time_left)

    async def _envelopes(self, requests: AsyncIterator[Any]) -> AsyncIterator[bytes]:
        try:
            async for request in requests:
                yield self._envelope(request)
        except Exception as error:
            self._fault = error  # the caller's own error, to be raised in place of the transport's
            raise
        finally:
            await close(requests)

    def _envelope(self, request: Message) -> bytes:
        if not isinstance(request, self._method.request):
            wanted = self._method.request.__name__
            raise TypeError(f"{self._method.path} takes messages of {wanted}, not a {type(request).__name__}")
        data, compression = self._settings.encode(request)
        return envelope(data, 0 if compression is None else COMPRESSED)


class _ResponseReader:
    """Decodes the messages of a response, and checks that it follows the Connect protocol.

    Raises:
        RpcError: (any method) the call failed, or the response violates the protocol.
    """

    def __init__(
        self,
        settings: ClientSettings,
        method: MethodSpec[Any, Any],
        content_type: bytes,
        incoming: StreamingResponse,
        context: Context,
    ) -> None:
        fields = dict(incoming.headers)
        context.received(incoming.headers, ())
        if incoming.status != 200:
            text = f"the peer answered with HTTP status {incoming.status}"
            raise RpcError(Code.from_http(incoming.status), text, metadata=context.response_headers)
        kind = fields.get(b"content-type", b"")
        if not same_type(kind, content_type):
            code = Code.INTERNAL if kind.startswith(b"application/connect+") else Code.UNKNOWN
            raise RpcError(code, f"the response has the content type {kind!r}, not that of the request")
        self._codec = settings.codec
        self._response = method.response
        self._limit = settings.limits.receive
        self._compression = compression_of(fields.get(b"connect-content-encoding"))
        self._envelopes = EnvelopeReader(self._limit)
        self._hold: Callable[[int], object] = getattr(incoming, "hold", bool)
        self._end: bytes | None = None
        self._context = context

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """The messages that the next bytes complete."""
        try:
            complete = self._envelopes.feed(chunk)
        except EnvelopeTooLarge as error:
            raise too_large("receive", error.size, self._limit) from None
        self._hold(self._envelopes.pending)
        decode, response, fault = self._codec.decode, self._response, Code.INTERNAL
        for flags, data in complete:
            if self._end is not None:
                protocol_error("the response continues after the message that ends its stream")
            if flags & COMPRESSED:
                if self._compression is None:
                    protocol_error("a message is compressed, but the response names no compression")
                data = decompress(data, self._compression, self._limit, fault)
            if flags & END_STREAM:
                self._end = data
            elif flags & ~COMPRESSED:
                protocol_error(f"an envelope of the response has the flags {flags:#04x}")
            else:
                yield decode(response, data, fault)

    def finish(self) -> None:
        """Process the end of the response: store the trailers, and raise the error if there is one."""
        if self._envelopes.pending:
            protocol_error(f"the response ends within an envelope, after {self._envelopes.pending} bytes of it")
        if self._end is None:
            protocol_error("the response ends without the message that ends a stream")
        fields = json_object(self._end)
        if fields is None:
            protocol_error("the message that ends the stream is not a JSON object")
        trailers = self._context.response_trailers.raw
        trailers += _trailers(fields.get("metadata"))
        if fields.get("error") is not None:
            error = error_from_json(fields["error"], Code.UNKNOWN)
            error.metadata = Metadata.from_wire([*self._context.response_headers.raw, *trailers])
            raise error


def _trailers(metadata: object) -> list[tuple[bytes, bytes]]:
    """The trailers in the message that ends a stream.

    Raises:
        RpcError: one has a half of a character, which no text has.
    """
    found: list[tuple[bytes, bytes]] = []
    try:
        for name, values in metadata.items() if isinstance(metadata, dict) else ():
            found += [(name.lower().encode(), str(v).encode()) for v in (values if isinstance(values, list) else ())]
    except UnicodeEncodeError:
        protocol_error("a trailer is no text that can be encoded")
    return found


class _Responses(Generic[Res]):
    """The responses of a call: iterated with `async for`, closed early by leaving `async with`."""

    def __init__(self, messages: AsyncIterator[Res], context: Context) -> None:
        self._messages = messages
        self._first: asyncio.Task[Res] | None = None
        self._begun = False
        self.context = context

    @property
    def response_headers(self) -> Metadata:
        """The header fields of the response; empty until the first message has arrived."""
        return self.context.response_headers

    @property
    def response_trailers(self) -> Metadata:
        """The trailers of the response; empty until the stream has ended."""
        return self.context.response_trailers

    def _begin(self) -> None:
        """Send the request now, unless that has been done, instead of when the first message is requested."""

        async def first() -> Res:
            return await anext(self._messages)

        if not self._begun:
            self._begun = True
            self._first = asyncio.ensure_future(first())

    def __aiter__(self) -> AsyncIterator[Res]:
        if self._first is not None:
            return self
        self._begun = True
        return self._messages

    def __anext__(self) -> Awaitable[Res]:
        self._begun = True
        first, self._first = self._first, None
        return anext(self._messages) if first is None else first

    async def aclose(self) -> None:
        """End the call. If it has not ended by itself, its stream is reset. May be called more than once."""
        first, self._first = self._first, None
        if first is not None:
            first.cancel()
            await asyncio.wait((first,))
            if not first.cancelled():
                first.exception()  # a caller that leaves without reading does not want the error
        await close(self._messages)

    async def __aenter__(self) -> Self:
        self._begin()
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class ServerStream(_Responses[Res]):
    """A call whose responses are a stream: `async with kv.watch(...) as stream: async for item in stream: ...`.

    `async with` sends the request when it is entered; without it, the first step of `async for` sends the request.
    Leaving either early resets the stream. Only one task at a time may read.
    """


class BidiStream(_Responses[Res], Generic[Req, Res]):
    """A call that streams both ways: `async with kv.chat() as call: await call.send(...); await call.close_send()`.

    Sending and receiving are independent of each other, and may be done in one task or in two.
    """

    def __init__(self, run: StreamNext, context: Context) -> None:
        self._outbox = _Outbox(context)
        super().__init__(run(self._outbox, context), context)

    async def send(self, request: Req) -> None:
        """Send a message; wait until the transport has taken the message before it.

        Raises:
            StreamClosed: `close_send` was called, or the call has ended; reading the responses raises the reason.
        """
        self._begin()
        await self._outbox.put(request)

    async def close_send(self) -> None:
        """End the requests. May be called more than once."""
        self._begin()
        self._outbox.end()


class _Outbox(AsyncIterator[Any]):
    """Holds one message of a bidirectional call until the transport takes it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._item: Any = None
        self._changed = asyncio.Event()
        self._ended = False
        self._dropped = False

    async def put(self, item: Any) -> None:
        while self._item is not None and not self._dropped:
            self._changed.clear()
            await self._changed.wait()
        if self._ended or self._dropped:
            why = (
                "the call has ended; reading its responses raises the reason"
                if self._dropped
                else "close_send was called"
            )
            raise StreamClosed(f"{self._context.method.path} takes no more messages: {why}")
        self._item = item
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def __anext__(self) -> Any:
        while self._item is None:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        item, self._item = self._item, None
        self._changed.set()
        return item

    async def aclose(self) -> None:
        self._dropped = True
        self._changed.set()


async def each(messages: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterator[Any]:
    """Iterate over the messages of a client stream, given as an asynchronous or a plain iterable."""
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message
