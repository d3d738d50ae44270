"""Spans for calls, by OpenTelemetry's conventions for RPC. Needs `opentelemetry-api` (`plugmux[opentelemetry]`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from . import Context, Interceptor, Metadata, RpcError, StreamNext, UnaryNext
from .server.service import close

__all__ = ["ClientTracing", "ServerTracing"]


class _Tracing(Interceptor):
    kind: SpanKind

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer or trace.get_tracer("plugmux.connect")

    def _parent(self, context: Context) -> Any:
        return None

    def _begun(self, context: Context) -> None:
        pass

    def _start(self, context: Context) -> Span:
        method = context.method
        return self._tracer.start_span(
            method.path[1:],
            context=self._parent(context),
            kind=self.kind,
            attributes={"rpc.system.name": "connectrpc", "rpc.method": method.path[1:]},
        )

    async def unary(self, request: Any, context: Context, next: UnaryNext) -> Any:
        span = self._start(context)
        with _ending(span), _current(span):
            self._begun(context)
            return await next(request, context)

    async def stream(self, requests: AsyncIterator[Any], context: Context, next: StreamNext) -> AsyncIterator[Any]:
        span, end = self._start(context), object()
        with _ending(span):
            with _current(span):
                self._begun(context)
                replies = next(requests, context)
            try:
                while True:
                    with _current(span):  # each step of a generator runs in the context of its consumer
                        reply = await anext(replies, end)
                    if reply is end:
                        return
                    yield reply
            finally:
                await close(replies)


def _current(span: Span) -> AbstractContextManager[Span]:
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


@contextmanager
def _ending(span: Span) -> Iterator[None]:
    """End the span with the call. It records the kind of an error, not its text, which may be confidential."""
    try:
        yield
    except RpcError as error:
        span.set_attribute("rpc.response.status_code", error.code.value)
        span.set_attribute("error.type", error.code.value)
        span.set_status(Status(StatusCode.ERROR))
        raise
    except Exception as error:
        span.set_attribute("error.type", type(error).__qualname__)
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        span.end()


class ServerTracing(_Tracing):
    """An interceptor for an `App` that makes a span for each call, a child of the caller's span.

    Args:
        tracer: makes the spans; by default the tracer of the global provider.
    """

    kind = SpanKind.SERVER

    def _parent(self, context: Context) -> Any:
        return propagate.extract(dict(context.request_headers))


class ClientTracing(_Tracing):
    """An interceptor for a client that makes a span for each call and sends its context in the request's fields.

    Args:
        tracer: makes the spans; by default the tracer of the global provider.
    """

    kind = SpanKind.CLIENT

    def _begun(self, context: Context) -> None:
        fields: dict[str, str] = {}
        propagate.inject(fields)
        headers: Metadata = context.request_headers
        for name, value in fields.items():
            headers[name] = value
