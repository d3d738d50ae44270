"""The base class of generated services, and the handlers that are made of their methods."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, TypeVar

from ..code import Code
from ..error import RpcError
from .threads import BlockingIterator, iterate_in_threads, no_stop_iteration
from .workers import THREADS, workers_of

if TYPE_CHECKING:
    from ..interceptor import StreamNext, UnaryNext
    from ..limits import RpcLimits
    from ..spec import MethodSpec, ServiceSpec
    from .context import Context

__all__ = ["RequestStream", "Service", "stream_handler", "unary_handler", "unimplemented"]

ALIKE = 0.75
"""The share of two names that must agree for one to be taken for the other, as `difflib` counts it."""

T_co = TypeVar("T_co", covariant=True)


class RequestStream(Protocol[T_co]):
    """The requests of a stream: an asynchronous iterator for an `async` handler, a plain one for a `def` handler."""

    def __aiter__(self) -> AsyncIterator[T_co]: ...
    async def __anext__(self) -> T_co: ...
    def __iter__(self) -> Iterator[T_co]: ...
    def __next__(self) -> T_co: ...


class Service:
    """A service to be served. An author subclasses the generated class and overrides its methods.

    A method is `async def`, or plain `def`, which runs in a worker thread. A method that streams its responses is a
    generator of either kind. A method that is not overridden fails with the code `unimplemented`.
    """

    spec: ClassVar[ServiceSpec]
    limits: RpcLimits | None = None
    """Limits for this service's messages and threads, in place of the app's."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if hasattr(cls, "spec") and "spec" not in vars(cls):
            _check_spelling(cls)


def _check_spelling(service: type[Service]) -> None:
    """Check that no method of an author's class looks like a handler whose name is misspelt.

    Raises:
        TypeError: one takes what a handler takes, is named almost as a method of the service, and that has no handler.
    """
    generated = next(base for base in service.__mro__ if "spec" in base.__dict__)
    known = {method.attribute for method in service.spec.methods}
    missing = [name for name in known if getattr(service, name, None) is getattr(generated, name, None)]
    for name, value in vars(service).items():
        if name.startswith("_") or name in known or not inspect.isfunction(value) or value.__code__.co_argcount != 3:
            continue
        from difflib import get_close_matches  # A class whose methods are all handlers needs none.

        if near := get_close_matches(name.lower(), missing, n=1, cutoff=ALIKE):
            raise TypeError(
                f"{service.__name__}.{name} is no method of {service.spec.name} and would never be called; "
                f"did you mean {near[0]}?"
            )


def unimplemented(method: MethodSpec[Any, Any]) -> NoReturn:
    """Fail a call of a method that its service does not override."""
    raise RpcError(Code.UNIMPLEMENTED, f"{method.path} is not implemented")


def unary_handler(service: Service, method: MethodSpec[Any, Any], threads: int = THREADS) -> UnaryNext:
    """The handler of a unary method.

    Args:
        service: the service that defines the method.
        method: the method.
        threads: how many plain handlers of the service run at the same time.
    """
    function = _function(service, method)
    if inspect.iscoroutinefunction(function):
        return function
    workers = workers_of(service, service.spec.name, threads)

    async def handle(request: Any, context: Context) -> Any:
        reply = await workers.run(no_stop_iteration, function, request, context)
        return await reply if inspect.isawaitable(reply) else reply

    return handle


def stream_handler(service: Service, method: MethodSpec[Any, Any], threads: int = THREADS) -> StreamNext:
    """The handler of a method of any other kind: it takes a stream of requests and yields the responses.

    Args:
        service: the service that defines the method.
        method: the method.
        threads: how many plain handlers of the service run at the same time.
    """
    workers = workers_of(service, service.spec.name, threads)
    function = _function(service, method)
    is_blocking = not (inspect.isasyncgenfunction(function) or inspect.iscoroutinefunction(function))
    one_request, one_response = not method.kind.client_streams, not method.kind.server_streams

    async def handle(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        argument = await only(requests, "request") if one_request else requests
        with ExitStack() as over:
            if is_blocking:
                if not one_request:
                    argument = BlockingIterator(argument)
                    over.callback(argument.end)
                result = await workers.run(no_stop_iteration, function, argument, context)
            else:
                result = function(argument, context)
            if inspect.isawaitable(result):
                result = await result
            if one_response:
                yield result
                return
            replies = result if hasattr(result, "__aiter__") else iterate_in_threads(iter(result), workers.run)
            try:
                async for reply in replies:
                    yield reply
            finally:
                await close(replies)

    return handle


async def only(messages: AsyncIterator[Any], what: str) -> Any:
    """The one message of a stream that must have exactly one."""
    missing = object()
    message = await anext(messages, missing)
    if message is missing:
        raise RpcError(Code.UNIMPLEMENTED, f"the stream has no {what}; there must be exactly one")
    if await anext(messages, missing) is not missing:
        raise RpcError(Code.UNIMPLEMENTED, f"the stream has more than one {what}; there must be exactly one")
    return message


async def close(messages: AsyncIterator[Any]) -> None:
    """Close an asynchronous iterator, if it can be closed."""
    aclose = getattr(messages, "aclose", None)
    if aclose is not None:
        await aclose()


def _function(service: Service, method: MethodSpec[Any, Any]) -> Callable[[Any, Any], Any]:
    kind = type(service)
    generated = next(base for base in kind.__mro__ if "spec" in base.__dict__)
    if generated is not kind and getattr(generated, method.attribute) is getattr(kind, method.attribute):

        async def refuse(request: Any, context: Context) -> Any:
            unimplemented(method)

        return refuse
    function: Callable[[Any, Any], Any] = getattr(service, method.attribute)
    return function
