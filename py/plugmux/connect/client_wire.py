"""What a client makes of a server's answer: a message, or an `RpcError` for everything that can go wrong."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from ..errors import BodyTooLarge, ExchangeError, LinkError
from ..exchange import Complete, Headers
from .code import Code
from .codec import Codec
from .compression import decompressed, installed
from .context import Context
from .error import RpcError, error_from_json
from .limits import Limits, too_large
from .metadata import Metadata, MetadataLike
from .spec import MethodSpec
from .trace import TRACE

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = [
    "CallOptions",
    "carry",
    "merged",
    "message_of",
    "protocol_error",
    "received",
    "same_type",
    "too_late",
    "translated",
]

CallOptions: TypeAlias = tuple[float | None, "MetadataLike | None", Context | None]
"""What the caller may give with each call: its timeout, header fields, and a context to fill in."""

T = TypeVar("T")
Res = TypeVar("Res", bound="Message")
_TRAILER = b"trailer-"


async def carry(method: MethodSpec[Any, Any], timeout: float | None, limits: Limits, exchange: Awaitable[T]) -> T:
    """Await an exchange; what breaks it becomes an `RpcError`."""
    try:
        return await exchange
    except (ExchangeError, LinkError, TimeoutError) as error:
        raise translated(error, method, timeout, limits) from error


def translated(error: Exception, method: MethodSpec[Any, Any], timeout: float | None, limits: Limits) -> RpcError:
    """The `RpcError` for an exchange that broke."""
    if isinstance(error, BodyTooLarge):
        return too_large("receive", error.size, limits.receive)
    if isinstance(error, TimeoutError) and not isinstance(error, LinkError):
        return too_late(method, timeout)
    sent = error.sent if isinstance(error, ExchangeError) else False
    fate = "the peer may have acted on it" if sent else "it was never sent"
    unavailable = RpcError(Code.UNAVAILABLE, f"{method.path} failed, and {fate}: {error}")
    unavailable.sent = sent
    return unavailable


def too_late(method: MethodSpec[Any, Any], timeout: float | None, *, sent: bool = True) -> RpcError:
    """The error of a call whose time has run out."""
    error = RpcError(Code.DEADLINE_EXCEEDED, f"{method.path} was not answered within {timeout} s")
    error.sent = sent
    return error


def split_trailers(headers: Headers) -> tuple[Headers, Headers]:
    """The header fields of a unary response, and the trailers that travel among them."""
    return (
        [field for field in headers if not field[0].startswith(_TRAILER)],
        [(name[len(_TRAILER) :], value) for name, value in headers if name.startswith(_TRAILER)],
    )


def message_of(
    reply: Complete,
    method: MethodSpec[Any, Res],
    codec: Codec,
    content_type: bytes,
    limit: int,
    context: Context | None,
) -> Res:
    """The message of a unary response.

    Raises:
        RpcError: the call failed, or the response is not one of the Connect protocol.
    """
    fields = dict(reply.headers)
    if context is not None:
        context.received(*split_trailers(reply.headers))
    body = reply.body
    encoding = fields.get(b"content-encoding")
    if encoding is not None and encoding != b"identity":
        body = received(encoding, body, limit)
    kind = fields.get(b"content-type", b"")
    if reply.status != 200:
        raise _error_of(reply, kind, body)
    if kind != content_type and not same_type(kind, content_type):
        code = Code.INTERNAL if kind.startswith(b"application/") else Code.UNKNOWN
        raise RpcError(code, f"the response has the content type {kind!r} where {content_type!r} was asked for")
    try:
        return codec.decode(method.response, body)
    except ValueError as error:
        raise RpcError(Code.INTERNAL, f"the response is {error}") from error


def same_type(received: bytes, wanted: bytes) -> bool:
    """Whether a Content-Type is the one wanted, in any case and with any charset."""
    return received.partition(b";")[0].strip().lower() == wanted


def received(encoding: bytes, data: bytes, limit: int) -> bytes:
    """Data of a response, decompressed."""
    compression = installed(encoding.decode("latin-1"))
    if compression is None:
        raise RpcError(Code.INTERNAL, f"the response is compressed with {encoding!r}, which was not offered")
    try:
        return decompressed(compression, data, limit)
    except RpcError as error:
        if error.code is Code.INVALID_ARGUMENT:  # on this side it is the server that is wrong
            raise RpcError(Code.INTERNAL, error.message) from error
        raise


def _error_of(reply: Complete, kind: bytes, body: bytes) -> RpcError:
    code = Code.from_http(reply.status)
    error = RpcError(code, f"the peer answered with HTTP status {reply.status}")
    if same_type(kind, b"application/json"):
        import json

        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            error = error_from_json(fields, code)
    headers, trailers = split_trailers(reply.headers)
    error.metadata = Metadata.from_wire([*headers, *trailers])
    return error


def protocol_error(message: str) -> NoReturn:
    """Fail a call whose response breaks the protocol."""
    raise RpcError(Code.INTERNAL, message)


def merged(headers: Headers, fields: Headers) -> list[tuple[bytes, bytes]]:
    """The protocol's headers with the caller's fields and the trace fields; the caller's own go before ours."""
    names = {name for name, _ in fields}
    result = [field for field in headers if field[0] != b"user-agent" or b"user-agent" not in names]
    result += fields
    result += [field for field in TRACE.get() if field[0] not in names]
    return result
