"""Clients for programs without an event loop: a thin layer over the asynchronous clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from ...errors import StateError
from ..server.threads import iterate_in_threads
from ..server.workers import Workers
from .client import Client
from .stream import ServerStream, each

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ..spec import MethodSpec
    from .wire import CallOptions

__all__ = ["SyncClient"]

T = TypeVar("T")
Req = TypeVar("Req", bound="Message")
Res = TypeVar("Res", bound="Message")


class CallRunner(Protocol):
    """Runs calls in an event loop of another thread."""

    def run(self, call: Awaitable[T]) -> T:
        """Run a call and wait for its result; may be called from any thread."""
        ...


class SyncClient:
    """Calls a service and waits for the result. The generated subclass has a method for each method of the service.

    By default the client has its own event loop, which runs in the calling thread during each call. Close the client
    when it is no longer needed, or use it in a `with` block. Only one thread at a time may use it, and that thread must
    not run an event loop.

    Args:
        transport: carries the calls, as for the asynchronous client. It must not be bound to another event loop.
        runner: runs the calls instead of the client's own loop. Any number of threads may then use the client, and the
            iterator of a stream's requests runs in a worker thread.
        options: those of the asynchronous client.
    """

    client_class: ClassVar[type[Client]]

    def __init_subclass__(cls) -> None:
        cls.client_class.sync_class = cls

    def __init__(self, transport: object, /, *, runner: CallRunner | None = None, **options: Any) -> None:
        self._client = self.client_class(transport, **options)
        self._own = asyncio.Runner() if runner is None else None
        self._runner = runner

    def _run(self, call: Awaitable[T]) -> T:
        if self._runner is not None:
            return self._runner.run(call)

        async def wait() -> T:
            return await call

        assert self._own is not None
        return self._own.run(wait())

    def _each(self, requests: Iterable[Req]) -> AsyncIterator[Req]:
        if self._runner is None:
            return each(requests)
        return iterate_in_threads(iter(requests), Workers("the requests of a stream", 1).run)

    def _unary(self, method: MethodSpec[Req, Res], request: Req, *options: *CallOptions) -> Res:
        return self._run(self._client._unary(method, request, *options))

    def _client_stream(self, method: MethodSpec[Req, Res], requests: Iterable[Req], *options: *CallOptions) -> Res:
        return self._run(self._client._client_stream(method, self._each(requests), *options))

    def _server_stream(self, method: MethodSpec[Req, Res], request: Req, *options: *CallOptions) -> Iterator[Res]:
        return self._iterate(self._client._server_stream(method, request, *options))

    def _bidi_stream(
        self, method: MethodSpec[Req, Res], requests: Iterable[Req], *options: *CallOptions
    ) -> Iterator[Res]:
        call, context = self._client._streaming(method, *options)
        return self._iterate(ServerStream(call.run(self._each(requests), context), context))

    def _iterate(self, replies: ServerStream[Res]) -> Iterator[Res]:
        iterator = aiter(replies)
        try:
            while True:
                try:
                    yield self._run(anext(iterator))
                except StopAsyncIteration:
                    return
        finally:
            with suppress(StateError):  # The loop has ended, which has ended the call.
                self._run(replies.aclose())

    def close(self) -> None:
        """Close the client's own event loop. May be called more than once."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
