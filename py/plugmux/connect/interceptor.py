"""Interceptors: code that runs around calls, such as authentication, logging, retries and tracing, on either end."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import ConfigError

if TYPE_CHECKING:
    from .server.context import Context

__all__ = ["Interceptor", "StreamNext", "UnaryNext", "around_stream", "around_unary", "validate"]

UnaryNext: TypeAlias = "Callable[[Any, Context], Awaitable[Any]]"
"""The rest of a unary call: takes the request and returns the response."""
StreamNext: TypeAlias = "Callable[[AsyncIterator[Any], Context], AsyncIterator[Any]]"
"""The rest of a streaming call: takes the requests and yields the responses."""


class Interceptor:
    """Runs around every call of a client or an app; a subclass overrides `unary`, `stream` or both.

    The first interceptor given is the outermost. Each may change the request, the response and the fields of the
    context. It may raise an `RpcError` instead of calling `next`, and for a unary call it may call `next` again.
    """

    async def unary(self, request: Any, context: Context, next: UnaryNext) -> Any:
        """Run around a unary call; return its response."""
        return await next(request, context)

    def stream(self, requests: AsyncIterator[Any], context: Context, next: StreamNext) -> AsyncIterator[Any]:
        """Run around a call of any other kind; as a rule an asynchronous generator that yields the responses.

        Closing the generator early resets the stream on the client, and closes the handler on the server.
        """
        return next(requests, context)


def validate(interceptors: Iterable[Interceptor]) -> tuple[Interceptor, ...]:
    """Check that each object is a usable interceptor, and return them all.

    Raises:
        ConfigError: one cannot work, or has no effect; the message says why.
    """
    found = tuple(interceptors)
    for interceptor in found:
        if fault := _fault(interceptor):
            raise ConfigError(f"{interceptor!r} cannot be used as an interceptor: {fault}")
    return found


def _fault(interceptor: object) -> str | None:
    if isinstance(interceptor, type):
        return "it is a class; give an instance of it"
    if not isinstance(interceptor, Interceptor):
        return "it is not an instance of a subclass of Interceptor"
    kind = type(interceptor)
    if kind.unary is Interceptor.unary and kind.stream is Interceptor.stream:
        return "it overrides neither `unary` nor `stream`"
    for name, argument in (("unary", "request"), ("stream", "requests")):
        try:
            inspect.signature(getattr(interceptor, name)).bind(None, None, None)
        except TypeError:
            return f"its `{name}` does not take ({argument}, context, next)"
    if not inspect.iscoroutinefunction(interceptor.unary):
        return "its `unary` is not an `async def` without `yield`"
    if inspect.iscoroutinefunction(interceptor.stream):
        return "its `stream` is an `async def` without `yield`; it must return an asynchronous iterator"
    return None


def around_unary(interceptors: tuple[Interceptor, ...], call: UnaryNext) -> UnaryNext:
    """The call with the interceptors around it, the first outermost."""
    for interceptor in reversed(interceptors):
        call = _link(interceptor.unary, call)
    return call


def around_stream(interceptors: tuple[Interceptor, ...], call: StreamNext) -> StreamNext:
    """The stream with the interceptors around it, the first outermost."""
    for interceptor in reversed(interceptors):
        call = _link(interceptor.stream, call)
    return call


def _link(step: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda messages, context: step(messages, context, call)
