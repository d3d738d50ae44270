"""A transport for `httpx.AsyncClient` whose requests go over mux streams; it serves `httpx2` as well.

Each library wants objects of its own classes back, so a response is made with the library that the request is of.
Importing this module imports httpx, which takes a while; `plugmux.http` does so only on demand.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from ..errors import ConfigError, ExchangeError, LinkError
from ..exchange import Request
from .client import Open, encode_head
from .exchange import StreamingExchange
from .fields import encode_fields
from .heads import HeadCache

__all__ = ["MuxTransport"]

TRANSPORT_FIELDS = frozenset((b"host", b"connection", b"content-length", b"transfer-encoding", b"keep-alive"))
"""Header fields of the connection, which are written here."""


class MuxTransport(httpx.AsyncBaseTransport):
    """A transport for `httpx.AsyncClient(transport=..., base_url="http://unix")`: one mux stream per request.

    Args:
        open: opens a stream for a protocol (`mux.open`).

    Requests and responses are streamed. Of httpx's timeouts, `read` bounds each wait for the response, from when the
    request has been sent, and `write` each piece of the request; `connect` and `pool` never apply. Errors are httpx's:
    `ConnectError` where no stream can be opened, `ReadError` where it breaks, `RemoteProtocolError` where the peer's
    answer is no HTTP or is cut off. Cancelling a request, and closing a response before its end, reset the stream.
    """

    def __init__(self, open: Open) -> None:
        self._open = open
        self._cache = HeadCache()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        library = httpx if isinstance(request, httpx.Request) else sys.modules["httpx2"]
        limits: dict[str, float | None] = request.extensions.get("timeout", {})
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        length = int(request.headers["content-length"]) if "content-length" in request.headers else None
        sending = _Body(request, length, limits.get("write"), library)
        target = request.url.raw_path.decode("ascii")
        kept = [(name, value) for name, value in headers if name not in TRANSPORT_FIELDS]
        has_body = length is not None or "transfer-encoding" in request.headers
        asked = Request(target, kept, sending.pieces() if has_body else b"", method=request.method)
        host = encode_fields([(name, value) for name, value in headers if name == b"host"])
        trip = StreamingExchange(asked, self._cache, chunked=length is None)
        sending.trip = trip
        with _errors(library, request):
            head = encode_head(asked, host, length)
            trip.start(self._open(trip), head, None)
            async with asyncio.timeout(None if has_body else limits.get("read")) as waiting:
                sending.when_sent(waiting, limits.get("read"))
                await trip.receive_head()
            sending.when_sent(None, None)
        stream = _stream_class(library)(trip, request, limits.get("read"))
        response: httpx.Response = library.Response(
            trip.status, headers=trip.headers, stream=stream, extensions={"http_version": b"HTTP/1.1"}
        )
        return response


class _Body:
    """The body of a request, piece by piece, each with its time limit."""

    def __init__(self, request: httpx.Request, length: int | None, limit: float | None, library: Any) -> None:
        self.trip: StreamingExchange
        self._request = request
        self._length = length
        self._limit = limit
        self._library = library
        self._waiting: asyncio.Timeout | None = None
        self._time_to_answer: float | None = None

    def when_sent(self, waiting: asyncio.Timeout | None, limit: float | None) -> None:
        """Begin the time of the wait for the response when the body has been sent; `None` where nobody waits."""
        self._waiting, self._time_to_answer = waiting, limit

    async def pieces(self) -> AsyncIterator[bytes]:
        size = 0
        assert hasattr(self._request.stream, "__aiter__")
        async for piece in self._request.stream:
            size += len(piece)
            if self._length is not None and size > self._length:
                break
            timer = self._timer()
            yield piece
            if timer is not None:
                timer.cancel()
        if self._length is not None and size != self._length:
            raise self._library.LocalProtocolError(
                f"the body of the request does not have the {self._length} bytes of its content-length",
                request=self._request,
            )
        if self._waiting is not None and self._time_to_answer is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time() + self._time_to_answer)

    def _timer(self) -> asyncio.TimerHandle | None:
        if self._limit is None:
            return None
        late = self._library.WriteTimeout("the peer does not read the request", request=self._request)
        return asyncio.get_running_loop().call_later(self._limit, self.trip.fail, late)


@functools.cache
def _stream_class(library: Any) -> Any:
    """The class of a response's stream, in one of the libraries."""

    class MuxStream(library.AsyncByteStream):  # type: ignore[misc]  # the base is known at run time alone
        """The body of a response as it comes over a mux stream."""

        def __init__(self, trip: StreamingExchange, request: httpx.Request, limit: float | None) -> None:
            self._trip = trip
            self._request = request
            self._limit = limit

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                with _errors(library, self._request):
                    async with asyncio.timeout(self._limit):
                        try:
                            piece = await anext(self._trip)
                        except StopAsyncIteration:
                            return
                yield piece

        async def aclose(self) -> None:
            await self._trip.aclose()

    return MuxStream


@contextlib.contextmanager
def _errors(library: Any, request: httpx.Request) -> Iterator[None]:
    """Translate our errors into the library's."""
    try:
        yield
    except TimeoutError as error:
        raise library.ReadTimeout("the peer did not answer in time", request=request) from error
    except ExchangeError as error:
        kind = library.RemoteProtocolError if error.__cause__ is None else library.ReadError
        raise kind(str(error), request=request) from error
    except LinkError as error:
        raise library.ConnectError(str(error), request=request) from error
    except ConfigError as error:
        raise library.LocalProtocolError(str(error), request=request) from error
