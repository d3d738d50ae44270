"""What the header fields of a request say about its call: the codec, the compression each way and the time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextvars import ContextVar

from ..exchange import Headers
from .code import Code
from .codec import CODECS, Codec
from .compression import Compression, installed
from .error import RpcError
from .metadata import strict_base64

__all__ = [
    "STREAM_TYPES",
    "TRACE",
    "UNARY_TYPES",
    "CallHeaders",
    "negotiate",
    "read_headers",
    "read_query",
    "timeout_field",
]

Fields = Mapping[bytes, bytes]

UNARY_TYPES: dict[bytes, Codec] = {f"application/{name}".encode(): codec for name, codec in CODECS.items()}
STREAM_TYPES: dict[bytes, Codec] = {f"application/connect+{name}".encode(): codec for name, codec in CODECS.items()}
MAX_TIMEOUT_DIGITS = 10

TRACE: ContextVar[Headers] = ContextVar("plugmux_trace", default=())
"""The W3C trace fields of the call that the current task serves; calls that its handler makes carry them on."""
_TRACE_FIELDS = (b"traceparent", b"tracestate")


class CallHeaders:
    """The protocol's header fields of one call, parsed.

    Args:
        codec: the codec of the messages, both ways.
        fields: the header fields of the request.
        encoding: the name of the compression of the request.
        accepted: the names of the compressions that the caller accepts for the response.
        offered: the names of the compressions that this end offers.

    Attributes:
        request_compression: how the request's messages are compressed; `None` where they are not.
        response_compression: how the response's messages may be compressed.
        timeout: seconds that the caller gives the call, `None` for no limit.
        started: when the head of the request had arrived, in the event loop's time.
        trace: the trace fields, which calls made by the handler carry on.
        fault: why the call must fail: a field is not well formed, or names a compression that is not offered.
    """

    __slots__ = ("codec", "fault", "request_compression", "response_compression", "started", "timeout", "trace")

    def __init__(
        self, codec: Codec, fields: Fields, encoding: bytes | None, accepted: bytes | None, offered: Iterable[str]
    ) -> None:
        self.codec = codec
        self.request_compression: Compression | None = None
        self.response_compression = None if accepted is None else negotiate(accepted, offered)
        self.timeout: float | None = None
        self.started = 0.0
        self.trace: Headers = ()
        if b"traceparent" in fields:
            self.trace = [(name, fields[name]) for name in _TRACE_FIELDS if name in fields]
        self.fault: RpcError | None = None
        version, timeout = fields.get(b"connect-protocol-version"), fields.get(b"connect-timeout-ms")
        try:
            if version is not None and version != b"1":
                raise RpcError(Code.INVALID_ARGUMENT, f"Connect-Protocol-Version is {version[:20]!r}; it must be 1")
            if encoding is not None:
                self.request_compression = _encoding(encoding, offered)
            if timeout is not None:
                self.timeout = _timeout(timeout)
                self.started = asyncio.get_running_loop().time()
        except RpcError as error:
            self.fault = error

    @property
    def deadline(self) -> float | None:
        """When the call's time limit expires, in the event loop's time; `None` for no limit."""
        return None if self.timeout is None else self.started + self.timeout


def read_headers(fields: Fields, types: Mapping[bytes, Codec], offered: Iterable[str]) -> CallHeaders | None:
    """Parse the header fields of a call by POST.

    Args:
        fields: the header fields of the request.
        types: the content types that are accepted: `STREAM_TYPES` or `UNARY_TYPES`.
        offered: the names of the compressions that this end offers.

    Returns:
        The parsed fields, or `None` where the request has another content type.
    """
    content_type = fields.get(b"content-type", b"")
    codec = types.get(content_type) or _codec(content_type, types)
    if codec is None:
        return None
    if types is STREAM_TYPES:
        encoding, accepted = fields.get(b"connect-content-encoding"), fields.get(b"connect-accept-encoding")
    else:
        encoding, accepted = fields.get(b"content-encoding"), fields.get(b"accept-encoding")
    return CallHeaders(codec, fields, encoding, accepted, offered)


def read_query(query_string: bytes, fields: Fields, offered: Iterable[str]) -> tuple[CallHeaders, bytes]:
    """Parse the header fields and the query of a call by GET. (Connect protocol, "Unary-Get-Request".)

    Returns:
        The parsed fields, and the encoded message.

    Raises:
        RpcError: the query string is not that of a call.
    """
    from urllib.parse import unquote_to_bytes

    pairs = [parameter.partition(b"=") for parameter in query_string.replace(b"+", b" ").split(b"&")]
    query = {unquote_to_bytes(name): unquote_to_bytes(value) for name, _, value in pairs}
    codec = CODECS.get(query.get(b"encoding", b"").decode("latin-1"))
    if codec is None or b"message" not in query:
        raise RpcError(Code.INVALID_ARGUMENT, "a call by GET has the query parameters `encoding` and `message`")
    if query.get(b"connect", b"v1") != b"v1":
        raise RpcError(Code.INVALID_ARGUMENT, "the query parameter `connect` must be v1")
    message = query[b"message"]
    if query.get(b"base64") == b"1" and message:
        decoded = strict_base64(message)
        if decoded is None:
            raise RpcError(Code.INVALID_ARGUMENT, "the query parameter `message` is not base64")
        message = decoded
    return CallHeaders(codec, fields, query.get(b"compression"), fields.get(b"accept-encoding"), offered), message


def _codec(content_type: bytes, types: Mapping[bytes, Codec]) -> Codec | None:
    """The codec of a content type that is written in another case or names its charset, which can only be UTF-8."""
    media_type, _, parameter = content_type.lower().partition(b";")
    if parameter.strip() not in {b"", b"charset=utf-8", b'charset="utf-8"'}:
        return None
    return types.get(media_type.strip())


def _encoding(value: bytes, offered: Iterable[str]) -> Compression | None:
    if value in (b"", b"identity"):
        return None
    name = value.decode("latin-1")
    compression = installed(name) if name in offered else None
    if compression is None:
        known = ", ".join(name for name in offered if installed(name))
        raise RpcError(Code.UNIMPLEMENTED, f"compression {name[:40]!r} is not supported; supported are: {known}")
    return compression


def negotiate(accepted: bytes, offered: Iterable[str]) -> Compression | None:
    """The first compression that the peer accepts and this end offers; `None` for no compression.

    Args:
        accepted: the peer's Accept-Encoding field, in its order of preference.
        offered: the names that may be used.
    """
    if accepted == b"identity":
        return None
    for item in accepted.split(b","):
        name, _, weight = item.partition(b";")
        text = name.strip().decode("latin-1")
        refused = weight.replace(b" ", b"").rstrip(b"0.") == b"q="
        if text in offered and not refused and (compression := installed(text)) is not None:
            return compression
    return None


def _timeout(value: bytes) -> float:
    if not value.isdigit() or len(value) > MAX_TIMEOUT_DIGITS:
        raise RpcError(Code.INVALID_ARGUMENT, f"Connect-Timeout-Ms is {value[:20]!r}; it must have 1 to 10 digits")
    return int(value) / 1000


def timeout_field(seconds: float) -> tuple[bytes, bytes]:
    """The Connect-Timeout-Ms field for a time limit."""
    return (b"connect-timeout-ms", b"%d" % min(max(0, int(seconds * 1000)), 10**MAX_TIMEOUT_DIGITS - 1))
