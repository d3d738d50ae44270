"""W3C trace context, passed along: calls made while a traced call is served carry its `traceparent` on."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

from ..exchange import Headers

__all__ = ["TRACE", "trace_fields"]

TRACE: ContextVar[Headers] = ContextVar("plugmux_trace", default=())
"""The trace fields of the call that the current task serves."""


def trace_fields(fields: Mapping[bytes, bytes]) -> Headers:
    """The fields of a request that are to be passed along."""
    return [(name, fields[name]) for name in (b"traceparent", b"tracestate") if name in fields]
