"""Clients for programs without an event loop: a thin bridge over the asynchronous ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from .client import Client, each
from .client_stream import ServerStream

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from .client_wire import CallOptions
    from .spec import MethodSpec

__all__ = ["SyncClient"]

T = TypeVar("T")
Req = TypeVar("Req", bound="Message")
Res = TypeVar("Res", bound="Message")


class SyncClient:
    """Calls a service and waits; the class that is generated for it has a method for each of its methods.

    It has an event loop of its own, which runs in the calling thread and only while a call is under way. Close it, as
    `with` does. One thread at a time may use it, and none in which an event loop runs.

    Args:
        transport: what carries the calls, as for the asynchronous client. It must not be bound to another event loop.
        options: those of the asynchronous client.
    """

    client_class: ClassVar[type[Client]]

    def __init__(self, transport: object, /, **options: Any) -> None:
        self._client = self.client_class(transport, **options)
        self._runner = asyncio.Runner()

    def _run(self, call: Awaitable[T]) -> T:
        async def wait() -> T:
            return await call

        return self._runner.run(wait())

    def _unary(self, method: MethodSpec[Req, Res], request: Req, *options: *CallOptions) -> Res:
        return self._run(self._client._unary(method, request, *options))

    def _client_stream(self, method: MethodSpec[Req, Res], requests: Iterable[Req], *options: *CallOptions) -> Res:
        return self._run(self._client._client_stream(method, requests, *options))

    def _server_stream(self, method: MethodSpec[Req, Res], request: Req, *options: *CallOptions) -> Iterator[Res]:
        return self._iterate(self._client._server_stream(method, request, *options))

    def _bidi_stream(
        self, method: MethodSpec[Req, Res], requests: Iterable[Req], *options: *CallOptions
    ) -> Iterator[Res]:
        call, context = self._client._streaming(method, *options)
        return self._iterate(ServerStream(call.run(each(requests), context), context))

    def _iterate(self, replies: ServerStream[Res]) -> Iterator[Res]:
        iterator = aiter(replies)
        try:
            while True:
                try:
                    yield self._run(anext(iterator))
                except StopAsyncIteration:
                    return
        finally:
            self._run(replies.aclose())

    def close(self) -> None:
        """Close the event loop. May be called more than once."""
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
