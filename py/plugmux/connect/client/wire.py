"""The parts of a call that unary and streaming clients share: its header fields, its errors, and unary responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from ...contract.nesting import parse_json
from ...errors import BodyTooLarge, ExchangeError, LinkError, RequestTimeout
from ...exchange import Headers, Response
from ..code import Code
from ..codec import Codec, decompress
from ..compression import Compression, installed
from ..envelope import COMPRESSED, END_STREAM, EnvelopeReader, EnvelopeTooLarge
from ..error import RpcError, error_from_json
from ..limits import RpcLimits, too_large
from ..metadata import Metadata, MetadataLike
from ..negotiation import TRACE, timeout_field
from ..server.context import Context
from ..spec import MethodSpec

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = [
    "CallOptions",
    "cause_of",
    "compression_of",
    "json_object",
    "lone_end",
    "message_of",
    "protocol_error",
    "request_headers",
    "same_type",
    "too_late",
    "to_rpc_error",
]

CallOptions: TypeAlias = tuple[float | None, "MetadataLike | None", Context | None]
"""The options of each call: the timeout, header fields, and a context to be filled in."""

Res = TypeVar("Res", bound="Message")
_TRAILER = b"trailer-"
MAX_END_MESSAGE = 64 * 1024
"""The most bytes of a decompressed end of a stream in which its error is looked for."""


def to_rpc_error(error: Exception, method: MethodSpec[Any, Any], timeout: float | None, limits: RpcLimits) -> RpcError:
    """The `RpcError` for an exchange that failed."""
    if isinstance(error, BodyTooLarge):
        return too_large("receive", error.size, limits.receive)
    if isinstance(error, RequestTimeout):
        return RpcError(Code.DEADLINE_EXCEEDED, f"{method.path} was not answered: {error}")
    if isinstance(error, TimeoutError) and not isinstance(error, LinkError):
        return too_late(method, timeout)
    sent = error.sent if isinstance(error, ExchangeError) else False
    fate = "failed in flight, and the peer may have acted on it" if sent else "failed, and it was never sent"
    unavailable = RpcError(Code.UNAVAILABLE, f"{method.path} {fate}: {error}")
    unavailable.sent = sent
    return unavailable


def cause_of(error: Exception) -> BaseException:
    """What an `RpcError` names as its cause: not an error of several lines, which ends with what a plugin has printed.

    The text of the `RpcError` has it, and a traceback shows the whole chain.
    """
    return error.__cause__ or error if "\n" in str(error) else error


def too_late(method: MethodSpec[Any, Any], timeout: float | None, *, sent: bool = True) -> RpcError:
    """The error of a call whose time limit has expired."""
    error = RpcError(Code.DEADLINE_EXCEEDED, f"{method.path} was not answered within {timeout} s")
    error.sent = sent
    return error


def split_trailers(headers: Headers) -> tuple[Headers, Headers]:
    """Separate the header fields of a unary response from its trailers, which are header fields with a prefix."""
    return (
        [field for field in headers if not field[0].startswith(_TRAILER)],
        [(name[len(_TRAILER) :], value) for name, value in headers if name.startswith(_TRAILER)],
    )


def message_of(
    reply: Response,
    method: MethodSpec[Any, Res],
    codec: Codec,
    content_type: bytes,
    limit: int,
    context: Context | None,
) -> Res:
    """The message of a unary response.

    Raises:
        RpcError: the call failed, or the response does not follow the Connect protocol.
    """
    fields = dict(reply.headers)
    if context is not None:
        context.received(*split_trailers(reply.headers))
    body = reply.body
    if (compression := compression_of(fields.get(b"content-encoding"))) is not None:
        body = decompress(body, compression, limit, Code.INTERNAL)
    kind = fields.get(b"content-type", b"")
    if reply.status != 200:
        raise _error_of(reply, kind, body)
    if kind != content_type and not same_type(kind, content_type):
        code = Code.INTERNAL if kind.startswith(b"application/") else Code.UNKNOWN
        raise RpcError(code, f"the response has the content type {kind!r}; {content_type!r} was requested")
    return codec.decode(method.response, body, Code.INTERNAL)


def same_type(received: bytes, wanted: bytes) -> bool:
    """Whether a Content-Type is the wanted one, ignoring case and charset."""
    return received.partition(b";")[0].strip().lower() == wanted


def compression_of(encoding: bytes | None) -> Compression | None:
    """The compression that a response names, or `None` if it names none."""
    if encoding is None or encoding == b"identity":
        return None
    compression = installed(encoding.decode("latin-1"))
    if compression is None:
        protocol_error(f"the response is compressed with {encoding!r}, which was not offered")
    return compression


def json_object(data: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; `None` if the data are not one."""
    try:
        fields = parse_json(data.decode())
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def lone_end(body: bytes, headers: Headers) -> Code | None:
    """The code of the error that a streaming call failed with before its first message.

    Args:
        body: the whole body of the response.
        headers: the response's.

    Returns:
        `None` where the body has a message, or does not end with an error.
    """
    try:
        envelopes = EnvelopeReader(len(body)).feed(body)
        if len(envelopes) != 1 or not envelopes[0][0] & END_STREAM:
            return None
        flags, data = envelopes[0]
        compression = compression_of(dict(headers).get(b"connect-content-encoding")) if flags & COMPRESSED else None
        if compression is not None:
            data = decompress(data, compression, MAX_END_MESSAGE, Code.INTERNAL)
    except (EnvelopeTooLarge, RpcError):
        return None
    error = (json_object(data) or {}).get("error")
    return None if error is None else error_from_json(error, Code.UNKNOWN).code


def _error_of(reply: Response, kind: bytes, body: bytes) -> RpcError:
    code = Code.from_http(reply.status)
    fields = json_object(body) if same_type(kind, b"application/json") else None
    if fields is None:
        error = RpcError(code, f"the peer answered with HTTP status {reply.status}")
    else:
        error = error_from_json(fields, code)
    headers, trailers = split_trailers(reply.headers)
    error.metadata = Metadata.from_wire([*headers, *trailers])
    return error


def protocol_error(message: str) -> NoReturn:
    """Fail a call whose response violates the protocol."""
    raise RpcError(Code.INTERNAL, message)


def request_headers(headers: Headers, fields: Headers, timeout: float | None) -> list[tuple[bytes, bytes]]:
    """Join the protocol's header fields with the caller's, the trace fields and the time limit.

    A field that the caller sets replaces the same field of the client or of the trace.
    """
    result, trace = list(headers), TRACE.get()
    if fields or trace:
        names = {name for name, _ in fields}
        if b"user-agent" in names:
            result = [field for field in headers if field[0] != b"user-agent"]
        result += fields
        result += [field for field in trace if field[0] not in names]
    if timeout is not None and timeout != float("inf"):
        result.append(timeout_field(timeout))
    return result
