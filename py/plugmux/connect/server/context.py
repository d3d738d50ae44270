"""The context of a call, for its handler, its interceptors and its caller."""

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
    """The context of one call: its method, its time limit, and the fields of the request and the response.

    Both ends use this class. On the server the handler reads `request_headers` and may set `response_headers` and
    `response_trailers`. On the client an interceptor may add to `request_headers`, and the other two are set when the
    response has arrived. A caller that wants them passes `context=Context()` to the method.

    Attributes:
        method: the method that is called; on a caller's own context it is set when the call begins.
        connection: what the owner of the connection knows of it; empty on the client, and in an ASGI server that does
            not set `"plugmux.connection"`.
        http_method: `"POST"` or `"GET"`.
        query: the raw query string of a call by GET.
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
        """Seconds until the call is cancelled, at least 0; `None` if it has no time limit."""
        return None if self._deadline is None else max(0.0, self._deadline.time_left)

    @property
    def deadline(self) -> float | None:
        """When the call is cancelled, in the event loop's time; `None` if it has no time limit."""
        return None if self._deadline is None else self._deadline.when

    @property
    def peer(self) -> object:
        """Who is at the other end, if the owner of the connection knows it."""
        return self.connection.get("peer")

    @property
    def request_headers(self) -> Metadata:
        """The header fields of the request."""
        if self._request_headers is None:
            self._request_headers = Metadata.from_wire(self._raw_headers)
        return self._request_headers

    @property
    def response_headers(self) -> Metadata:
        """The header fields of the response; for a stream they must be set before the first message."""
        if self._response_headers is None:
            self._response_headers = Metadata()
        return self._response_headers

    @property
    def response_trailers(self) -> Metadata:
        """The trailers of the response."""
        if self._response_trailers is None:
            self._response_trailers = Metadata()
        return self._response_trailers

    def received(self, headers: Headers, trailers: Headers) -> None:
        """Store the fields of a response that has arrived."""
        self.response_headers.raw[:] = headers
        self.response_trailers.raw[:] = trailers

    def __repr__(self) -> str:
        return f"<Context of {self.method.path if hasattr(self, 'method') else 'a call not begun'}>"
