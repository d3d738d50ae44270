"""The base class of generated clients, and unary calls."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from ...aio.deadline import Deadline
from ...contract.version import VERSION as RELEASE
from ...errors import ConfigError, ExchangeError, LinkError
from ...exchange import ClientTransport, Headers, Request
from ..codec import Codec, codec_named
from ..compression import Compression, named
from ..interceptor import Interceptor, around_unary, checked
from ..limits import Limits
from ..message import compress_if_worthwhile
from ..metadata import Metadata, MetadataLike
from ..server.context import Context
from ..server.service import close, only
from ..trace import TRACE
from .stream import BidiStream, ServerStream, StreamingCall
from .wire import CallOptions, message_of, request_headers, to_rpc_error, too_late

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ..spec import MethodSpec, ServiceSpec
    from .sync import SyncClient

__all__ = ["Client", "each", "transport_of"]

Req = TypeVar("Req", bound="Message")
Res = TypeVar("Res", bound="Message")

USER_AGENT = (b"user-agent", f"plugmux-python/{RELEASE.removeprefix('v')}".encode())
VERSION = (b"connect-protocol-version", b"1")
MAX_URL = 8192


class Client:
    """Calls a service; the class that is generated for it has a method for each of its methods.

    Args:
        transport: what carries the calls: a `ClientTransport`, an object that has one as its `transport` (a `Link`, a
            `Plugin`), or an `httpx.AsyncClient` (or httpx2's) with a `base_url`.
        codec: `"proto"` or `"json"`.
        compression: the name of the compression of what is sent; none by default.
        accept: names of the compressions that are offered to the server; none by default, for on a local link
            compression only costs time.
        compress_min: messages of fewer bytes are sent uncompressed (1 KiB).
        limits: bounds on the size of messages.
        interceptors: run around every call, the first outermost.
        timeout: seconds for a call that gives no time limit of its own; `None` for no limit.
        headers: fields that go with every call.
        get: whether methods without side effects are called by HTTP GET where the URL stays within 8 KiB.

    Raises:
        ConfigError: an argument is not of these.

    Every method raises `RpcError` when its call fails, for whatever reason. Cancelling the task that waits for a call,
    or leaving a stream early, resets the call's stream, which cancels the handler on the server.
    """

    spec: ClassVar[ServiceSpec]
    sync_class: ClassVar[type[SyncClient]]

    def __init__(
        self,
        transport: object,
        /,
        *,
        codec: str = "proto",
        compression: str | None = None,
        accept: Iterable[str] = (),
        compress_min: int = 1024,
        limits: Limits | None = None,
        interceptors: Iterable[Interceptor] = (),
        timeout: float | None = None,
        headers: MetadataLike = (),
        get: bool = False,
    ) -> None:
        self._transport = transport_of(transport)
        self._options: dict[str, Any] = {
            "codec": codec,
            "compression": compression,
            "accept": tuple(accept),
            "compress_min": compress_min,
            "limits": limits,
            "interceptors": checked(interceptors),
            "timeout": timeout,
            "headers": Metadata(headers),
            "get": get,
        }
        self._codec: Codec = codec_named(codec)
        self._compression: Compression | None = None if compression is None else named(compression)
        self._accept = ", ".join(named(name).name for name in self._options["accept"]).encode()
        self._compress_min = compress_min
        self._limits = limits or Limits()
        self._interceptors: tuple[Interceptor, ...] = self._options["interceptors"]
        self._timeout = timeout
        self._get = get
        self._content_type = b"application/" + self._codec.name.encode()
        self._common = [VERSION, *self._options["headers"].raw]
        if not any(name == b"user-agent" for name, _ in self._common):
            self._common.append(USER_AGENT)
        accept_field = [(b"accept-encoding", self._accept)] if self._accept else []
        self._unary_headers = ((b"content-type", self._content_type), *self._common, *accept_field)

    def using(self, **options: Any) -> Self:
        """The same client with other options, those of the constructor: `kv.using(codec="json").get(...)`."""
        return type(self)(self._transport, **{**self._options, **options})

    async def _unary(self, method: MethodSpec[Req, Res], request: Req, *options: *CallOptions) -> Res:
        """Make a unary call."""
        timeout, headers, context = options
        if timeout is None:
            timeout = self._timeout
        fields = Metadata(headers).raw if headers else ()
        if not self._interceptors and context is None:
            return await self._call(method, request, timeout, fields, None)
        context = self._begin(method, fields, context)
        deadline = None if timeout is None else Deadline(timeout)
        if deadline is not None:
            deadline.guard(None)
        context._deadline = deadline

        async def call(request: Any, context: Context) -> Any:
            return await self._call(method, request, context.time_left, context.request_headers.raw, context)

        try:
            reply: Res = await around_unary(self._interceptors, call)(request, context)
        finally:
            if deadline is not None:
                deadline.cancel()
        return reply

    def _begin(self, method: MethodSpec[Any, Any], fields: Headers, context: Context | None) -> Context:
        context = context or Context()
        context.method = method
        context.http_method = "GET" if self._get and method.no_side_effects else "POST"
        context._request_headers = None
        context._raw_headers = fields
        return context

    async def _call(
        self,
        method: MethodSpec[Req, Res],
        request: Req,
        timeout: float | None,
        fields: Headers,
        context: Context | None,
    ) -> Res:
        if not isinstance(request, method.request):
            raise TypeError(f"{method.path} takes a {method.request.__name__}, not a {type(request).__name__}")
        codec = self._codec
        call = None
        if self._get and method.no_side_effects:
            call = self._by_get(method, request, timeout, fields)
        if call is None:
            if context is not None:
                context.http_method = "POST"
            body, compression = compress_if_worthwhile(
                codec.encode(request), self._limits, self._compression, self._compress_min
            )
            headers: Headers = self._unary_headers
            if timeout is not None or fields or compression is not None or TRACE.get():
                headers = request_headers(headers, fields, timeout)
                if compression is not None:
                    headers.append((b"content-encoding", compression.name.encode()))
            call = Request(method.path, headers, body, "POST", timeout, method.no_side_effects)
        if timeout is not None and timeout <= 0:
            raise too_late(method, timeout, sent=False)
        try:
            reply = await self._transport.fetch(call, self._limits.receive)
        except (ExchangeError, LinkError, TimeoutError) as error:
            raise to_rpc_error(error, method, timeout, self._limits) from error
        return message_of(reply, method, codec, self._content_type, self._limits.receive, context)

    def _by_get(
        self, method: MethodSpec[Any, Any], request: Message, timeout: float | None, fields: Headers
    ) -> Request | None:
        """The call as a GET, or `None` where its URL would be too long."""
        from base64 import urlsafe_b64encode

        stable = self._codec.encode_stable(request)
        data, compression = compress_if_worthwhile(stable, self._limits, self._compression, self._compress_min)
        packing = "" if compression is None else f"&compression={compression.name}"
        message = urlsafe_b64encode(data).rstrip(b"=").decode()
        path = f"{method.path}?connect=v1&base64=1{packing}&encoding={self._codec.name}&message={message}"
        if len(path) > MAX_URL:
            return None
        unneeded = (b"content-type", VERSION[0])
        headers = [field for field in self._unary_headers if field[0] not in unneeded]
        return Request(path, request_headers(headers, fields, timeout), b"", "GET", timeout, True)

    def _streaming(self, method: MethodSpec[Any, Any], *options: *CallOptions) -> tuple[StreamingCall, Context]:
        timeout, headers, context = options
        context = self._begin(method, Metadata(headers).raw if headers else (), context)
        call = StreamingCall(self, method, self._timeout if timeout is None else timeout)
        return call, context

    def _server_stream(self, method: MethodSpec[Req, Res], request: Req, *options: *CallOptions) -> ServerStream[Res]:
        """Make a call that is answered by a stream."""
        call, context = self._streaming(method, *options)
        return ServerStream(call.run(_one(request), context), context)

    async def _client_stream(
        self,
        method: MethodSpec[Req, Res],
        requests: AsyncIterable[Req] | Iterable[Req],
        *options: *CallOptions,
    ) -> Res:
        """Make a call of many requests and one response."""
        call, context = self._streaming(method, *options)
        replies = call.run(each(requests), context)
        try:
            reply: Res = await only(replies, "response")
        finally:
            await close(replies)
        return reply

    def _bidi_stream(self, method: MethodSpec[Req, Res], *options: *CallOptions) -> BidiStream[Req, Res]:
        """Make a call of streams both ways."""
        call, context = self._streaming(method, *options)
        return BidiStream(call.run, context)


async def _one(request: Any) -> AsyncIterator[Any]:
    yield request


async def each(requests: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterator[Any]:
    """The requests of a client stream, whichever way they are iterated."""
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request


def transport_of(target: Any) -> ClientTransport:
    """The client transport of whatever a client may be made with.

    Raises:
        ConfigError: there is none.
    """
    candidate: Any
    for candidate in (target, getattr(target, "transport", None)):
        if callable(getattr(candidate, "fetch", None)) and callable(getattr(candidate, "send", None)):
            found: ClientTransport = candidate
            return found
    from .httpx import HttpxTransport, package_of

    if hasattr(target, "aclose") and package_of(type(target)) is not None:
        return HttpxTransport(target)
    raise ConfigError(
        f"{target!r} cannot carry calls: give a ClientTransport, an object with a `transport`, or an httpx client"
    )
