"""A call, as its handler, its interceptors and a curious caller see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...exchange import Headers
from ..metadata import Metadata

if TYPE_CHECKING:
    from ...aio.deadline import Deadline
    from ..spec import MethodSpec

__all__ = ["Context"]

_NO_CONNECTION: Mapping[str, object] = {}


class Context:
    """One call: its method, its time limit, and the fields that go each way.

    The same class serves both ends. On the server the handler reads `request_headers` and may set `response_headers`
    and `response_trailers`. On the client an interceptor may add to `request_headers`, and the other two are there once
    the response has come; a caller who wants them passes `context=Context()` to the method.

    Attributes:
        method: the method that is called. (A caller's own context has it once the call has begun.)
        connection: what the host of the connection says of it; empty on the client, and in a foreign ASGI server
            without `"plugmux.connection"`.
        http_method: `"POST"`, or `"GET"` for a call that came, or is to go, as one.
        query: the raw query string of a call that came by GET.
    """

    __slots__ = (
        "_deadline",
        "_raw_headers",
        "_request_headers",
        "_response_headers",
        "_response_trailers",
        "connection",
        "http_method",
        "method",
        "query",
    )

    method: MethodSpec[Any, Any]

    def __init__(
        self,
        method: MethodSpec[Any, Any] | None = None,
        raw_headers: Headers = (),
        connection: Mapping[str, object] = _NO_CONNECTION,
        deadline: Deadline | None = None,
    ) -> None:
        if method is not None:
            self.method = method
        self.connection = connection
        self.http_method = "POST"
        self.query = b""
        self._raw_headers = raw_headers
        self._deadline = deadline
        self._request_headers: Metadata | None = None
        self._response_headers: Metadata | None = None
        self._response_trailers: Metadata | None = None

    @property
    def time_left(self) -> float | None:
        """Seconds until the call is cancelled, not below 0; `None` where it has no time limit."""
        return None if self._deadline is None else max(0.0, self._deadline.time_left)

    @property
    def deadline(self) -> float | None:
        """When the call is cancelled, in the event loop's time; `None` where it has no time limit."""
        return None if self._deadline is None else self._deadline.when

    @property
    def peer(self) -> object:
        """Who is at the other end, where the host of the connection knows."""
        return self.connection.get("peer")

    @property
    def request_headers(self) -> Metadata:
        """The fields that the caller sends."""
        if self._request_headers is None:
            self._request_headers = Metadata.from_wire(self._raw_headers)
        return self._request_headers

    @property
    def response_headers(self) -> Metadata:
        """The fields that go before the response; for a stream they must be set before its first message."""
        if self._response_headers is None:
            self._response_headers = Metadata()
        return self._response_headers

    @property
    def response_trailers(self) -> Metadata:
        """The fields that go after the response."""
        if self._response_trailers is None:
            self._response_trailers = Metadata()
        return self._response_trailers

    def received(self, headers: Headers, trailers: Headers) -> None:
        """Note the fields of a response that has come."""
        self.response_headers.raw[:] = headers
        self.response_trailers.raw[:] = trailers

    def __repr__(self) -> str:
        return f"<Context of {self.method.path if hasattr(self, 'method') else 'a call not begun'}>"
