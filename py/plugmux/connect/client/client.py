"""The base class of generated clients, and unary calls."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from ...aio.deadline import Deadline
from ...contract.version import VERSION
from ...errors import ExchangeError, LinkError
from ...exchange import Headers, Request
from ..codec import codec_named, compress_if_worthwhile
from ..compression import named
from ..interceptor import Interceptor, around_unary, validate
from ..limits import RpcLimits
from ..metadata import Metadata, MetadataLike
from ..negotiation import TRACE
from ..server.context import Context
from ..server.service import close, only
from .settings import ClientSettings, transport_of
from .stream import BidiStream, ServerStream, StreamingCall, each
from .wire import CallOptions, cause_of, message_of, request_headers, to_rpc_error, too_late

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ..spec import MethodSpec, ServiceSpec

__all__ = ["Client"]

Req = TypeVar("Req", bound="Message")
Res = TypeVar("Res", bound="Message")

USER_AGENT = (b"user-agent", f"plugmux-python/{VERSION.removeprefix('v')}".encode())
PROTOCOL_VERSION = (b"connect-protocol-version", b"1")
MAX_URL = 8192


class Client:
    """Calls a service. The generated subclass has a method for each method of the service.

    Args:
        transport: carries the calls: a `ClientTransport`, an object that has one as its `transport` (a `Link`, a
            `Plugin`), or an `httpx.AsyncClient` (or httpx2's) with a `base_url`.
        codec: `"proto"` or `"json"`.
        compression: the name of the compression of requests; none by default.
        accept: names of the compressions that the server may use; none by default, because on a local link compression
            only costs time.
        compress_min: requests of fewer bytes are sent uncompressed (1 KiB).
        limits: bounds on the size of messages.
        interceptors: run around every call, the first outermost.
        timeout: seconds for a call that sets no time limit itself; `None` for no limit.
        headers: fields that are sent with every call.
        get: whether methods without side effects are called by HTTP GET if the URL has at most 8 KiB.

    Raises:
        ConfigError: an argument is not valid.

    Every method raises `RpcError` if its call fails for any reason. Cancelling the task that waits for a call, or
    leaving a stream early, resets the call's stream, which cancels the handler on the server.
    """

    spec: ClassVar[ServiceSpec]
    sync_class: ClassVar[type[Any]]
    """The `SyncClient` of the same service."""

    def __init__(
        self,
        transport: object,
        /,
        *,
        codec: str = "proto",
        compression: str | None = None,
        accept: Iterable[str] = (),
        compress_min: int = 1024,
        limits: RpcLimits | None = None,
        interceptors: Iterable[Interceptor] = (),
        timeout: float | None = None,
        headers: MetadataLike = (),
        get: bool = False,
    ) -> None:
        self._options: dict[str, Any] = {
            "codec": codec,
            "compression": compression,
            "accept": tuple(accept),
            "compress_min": compress_min,
            "limits": limits,
            "interceptors": validate(interceptors),
            "timeout": timeout,
            "headers": Metadata(headers),
            "get": get,
        }
        common = [PROTOCOL_VERSION, *self._options["headers"].raw]
        if not any(name == b"user-agent" for name, _ in common):
            common.append(USER_AGENT)
        self._settings = ClientSettings(
            transport_of(transport),
            codec_named(codec),
            None if compression is None else named(compression),
            compress_min,
            ", ".join(named(name).name for name in self._options["accept"]).encode(),
            limits or RpcLimits(),
            self._options["interceptors"],
            common,
        )
        self._timeout = timeout
        self._get = get
        self._content_type = b"application/" + codec.encode()
        accept_field = [(b"accept-encoding", self._settings.accept)] if self._settings.accept else []
        self._unary_headers = ((b"content-type", self._content_type), *common, *accept_field)

    def using(self, **options: Any) -> Self:
        """The same client with some options of the constructor changed: `kv.using(codec="json").get(...)`."""
        return type(self)(self._settings.transport, **{**self._options, **options})

    async def _unary(self, method: MethodSpec[Req, Res], request: Req, *options: *CallOptions) -> Res:
        """Make a unary call."""
        timeout, headers, context = options
        if timeout is None:
            timeout = self._timeout
        fields = Metadata(headers).raw if headers else ()
        if not self._settings.interceptors and context is None:
            return await self._call(method, request, timeout, fields, None)
        context = self._begin(method, fields, context)
        deadline = None if timeout is None else Deadline(timeout)
        if deadline is not None:
            deadline.guard(None)
        context._deadline = deadline

        async def call(request: Any, context: Context) -> Any:
            return await self._call(method, request, context.time_left, context.request_headers.raw, context)

        try:
            reply: Res = await around_unary(self._settings.interceptors, call)(request, context)
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
        settings = self._settings
        call = None
        if self._get and method.no_side_effects:
            call = self._by_get(method, request, timeout, fields)
        if call is None:
            if context is not None:
                context.http_method = "POST"
            body, compression = settings.encode(request)
            headers: Headers = self._unary_headers
            if timeout is not None or fields or compression is not None or TRACE.get():
                headers = request_headers(headers, fields, timeout)
                if compression is not None:
                    headers.append((b"content-encoding", compression.name.encode()))
            call = Request(method.path, headers, body, "POST", timeout, method.no_side_effects)
        if timeout is not None and timeout <= 0:
            raise too_late(method, timeout, sent=False)
        try:
            reply = await settings.transport.fetch(call, settings.limits.receive)
        except (ExchangeError, LinkError, TimeoutError) as error:
            raise to_rpc_error(error, method, timeout, settings.limits) from cause_of(error)
        return message_of(reply, method, settings.codec, self._content_type, settings.limits.receive, context)

    def _by_get(
        self, method: MethodSpec[Any, Any], request: Message, timeout: float | None, fields: Headers
    ) -> Request | None:
        """The call as a GET, or `None` if its URL would be too long."""
        from base64 import urlsafe_b64encode

        settings = self._settings
        stable = settings.codec.encode_stable(request)
        data, compression = compress_if_worthwhile(stable, settings.limits, settings.compression, settings.compress_min)
        packing = "" if compression is None else f"&compression={compression.name}"
        message = urlsafe_b64encode(data).rstrip(b"=").decode()
        path = f"{method.path}?connect=v1&base64=1{packing}&encoding={settings.codec.name}&message={message}"
        if len(path) > MAX_URL:
            return None
        unneeded = (b"content-type", PROTOCOL_VERSION[0])
        headers = [field for field in self._unary_headers if field[0] not in unneeded]
        return Request(path, request_headers(headers, fields, timeout), b"", "GET", timeout, True)

    def _streaming(self, method: MethodSpec[Any, Any], *options: *CallOptions) -> tuple[StreamingCall, Context]:
        timeout, headers, context = options
        context = self._begin(method, Metadata(headers).raw if headers else (), context)
        call = StreamingCall(self._settings, method, self._timeout if timeout is None else timeout)
        return call, context

    def _server_stream(self, method: MethodSpec[Req, Res], request: Req, *options: *CallOptions) -> ServerStream[Res]:
        """Make a call whose responses are a stream."""
        call, context = self._streaming(method, *options)
        return ServerStream(call.run(_one(request), context), context)

    async def _client_stream(
        self,
        method: MethodSpec[Req, Res],
        requests: AsyncIterable[Req] | Iterable[Req],
        *options: *CallOptions,
    ) -> Res:
        """Make a call that streams its requests and has one response."""
        call, context = self._streaming(method, *options)
        replies = call.run(each(requests), context)
        try:
            reply: Res = await only(replies, "response")
        finally:
            await close(replies)
        return reply

    def _bidi_stream(self, method: MethodSpec[Req, Res], *options: *CallOptions) -> BidiStream[Req, Res]:
        """Make a call that streams both ways."""
        call, context = self._streaming(method, *options)
        return BidiStream(call.run, context)


async def _one(request: Any) -> AsyncIterator[Any]:
    yield request
