"""The server's side of a unary call, for ASGI and for the fast path: a whole request in, a whole response out."""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import Any, Never

from ...aio.deadline import Deadline
from ...aio.failure import is_failure
from ...exchange import Response
from ..code import Code
from ..codec import compress_if_worthwhile, decompress
from ..compression import Compression
from ..error import RpcError, error_to_json
from ..limits import RpcLimits, too_large
from ..negotiation import TRACE, UNARY_TYPES, CallHeaders
from ..spec import MethodSpec
from .context import Context

__all__ = ["Route", "UnaryCall", "expired", "failure", "unary_error_response"]

logger = logging.getLogger("plugmux.connect")

MAX_TRACEBACK = 16 * 1024
"""Characters of a traceback that are sent: its end, where the error stands."""
OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_HEADERS = {codec: ((b"content-type", name),) for name, codec in UNARY_TYPES.items()}


class Route:
    """A method and its handler.

    Args:
        method: the method.
        handler: the service's handler with the interceptors around it: a `UnaryNext` or a `StreamNext`.
        limits: bounds on the size of messages.
        compress_min: responses of fewer bytes are sent uncompressed.
    """

    __slots__ = ("compress_min", "handler", "limits", "method")

    def __init__(self, method: MethodSpec[Any, Any], handler: Any, limits: RpcLimits, compress_min: int) -> None:
        self.method = method
        self.handler = handler
        self.limits = limits
        self.compress_min = compress_min

    def pack(self, reply: Any, call_headers: CallHeaders) -> tuple[bytes, Compression | None]:
        """Encode a response.

        Returns:
            Its bytes, and the compression that was applied to them.

        Raises:
            TypeError: the handler returned an object of another class than the method's response.
            RpcError: the response exceeds the limit.
        """
        if not isinstance(reply, self.method.response):
            raise TypeError(f"the handler returned a {type(reply).__name__}, not a {self.method.response.__name__}")
        return compress_if_worthwhile(
            call_headers.codec.encode(reply), self.limits, call_headers.response_compression, self.compress_min
        )


class UnaryCall:
    """One unary call, whose head has been read. The HTTP server uses it as a `FastPathCall`.

    Args:
        route: the method that is called.
        call_headers: the parsed header fields of the request.
        context: the context of the call.
    """

    __slots__ = ("_context", "_headers", "_route", "limit")

    def __init__(self, route: Route, call_headers: CallHeaders, context: Context) -> None:
        self._route = route
        self._headers = call_headers
        self._context = context
        self.limit = route.limits.receive

    @property
    def deadline(self) -> float | None:
        """When the call's time limit expires."""
        return self._headers.deadline

    def expired(self) -> Response:
        """Answer a request whose deadline has passed before its body had arrived."""
        return unary_error_response(expired(self._headers))

    def too_large(self, size: int) -> Response:
        """Answer a request whose body is over the limit."""
        return unary_error_response(too_large("receive", size, self.limit))

    async def complete(self, body: bytes) -> Response:
        """Answer the request. It raises a cancellation only if the deadline has not caused it."""
        route, call_headers, context = self._route, self._headers, self._context
        deadline = None if call_headers.timeout is None else Deadline(call_headers.timeout, call_headers.started)
        context._deadline = deadline
        token = TRACE.set(call_headers.trace) if call_headers.trace else None
        try:
            if call_headers.request_compression is not None:
                body = decompress(body, call_headers.request_compression, self.limit, Code.INVALID_ARGUMENT)
            request = call_headers.codec.decode(route.method.request, body, Code.INVALID_ARGUMENT)
            if deadline is not None and deadline.time_left <= 0:
                raise RpcError(Code.DEADLINE_EXCEEDED, "the time limit had expired before the call began")
            return self._response(await route.handler(request, context))
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and deadline is not None and deadline.claims():
                return unary_error_response(expired(call_headers), context)
            if not is_failure(error) and not isinstance(error, SystemExit):
                raise
            return unary_error_response(failure(error, route.method, context), context)
        finally:
            if deadline is not None:
                deadline.cancel()
            if token is not None:
                TRACE.reset(token)

    def _response(self, reply: Any) -> Response:
        call_headers = self._headers
        data, compression = self._route.pack(reply, call_headers)
        headers = _HEADERS[call_headers.codec]
        fields = [] if compression is None else [(b"content-encoding", compression.name.encode())]
        _add_fields(fields, self._context)
        return Response(200, [*headers, *fields] if fields else headers, data)


def failure(error: BaseException, method: MethodSpec[Any, Any], context: Context | None = None) -> RpcError:
    """The error to send for what a handler has raised. Other errors than `RpcError` are logged.

    They are sent only over a link whose host has asked for it (`Host(debug=True)`).
    """
    if isinstance(error, RpcError):
        return error
    if isinstance(error, SystemExit):
        asyncio.get_running_loop().call_soon(_exit, error)  # after the response has been sent
        return RpcError(Code.INTERNAL, "the handler has ended its process")
    logger.error("%s failed", method.path, exc_info=error)
    if isinstance(error, MemoryError):
        return RpcError(Code.RESOURCE_EXHAUSTED, "the handler ran out of memory")
    if isinstance(error, OSError) and error.errno in OUT_OF_FILES:
        return RpcError(Code.RESOURCE_EXHAUSTED, "the handler could open no more files")
    if context is not None and getattr(context.connection.get("link"), "debug", False):
        import traceback

        text = "".join(traceback.format_exception(error)).rstrip()
        return RpcError(Code.INTERNAL, f"the handler failed:\n{text[-MAX_TRACEBACK:]}")
    return RpcError(Code.INTERNAL, "the handler failed; the server's log says why")


def _exit(error: SystemExit) -> Never:
    raise error


def expired(call_headers: CallHeaders) -> RpcError:
    """The error of a call whose time limit has expired."""
    return RpcError(Code.DEADLINE_EXCEEDED, f"the call's time limit of {call_headers.timeout} s has expired")


def unary_error_response(error: RpcError, context: Context | None = None) -> Response:
    """The response of a unary call that failed."""
    import json

    headers = [(b"content-type", b"application/json")]
    if context is not None:
        _add_fields(headers, context)
    headers += error.metadata.sendable()
    return Response(error.code.http_status, headers, json.dumps(error_to_json(error)).encode())


def _add_fields(headers: list[tuple[bytes, bytes]], context: Context) -> None:
    # The private attributes: the properties would create empty metadata, which most calls do not need.
    if context._response_headers is not None:
        headers += context._response_headers.raw
    if context._response_trailers is not None:
        headers += [(b"trailer-" + name, value) for name, value in context._response_trailers.raw]
