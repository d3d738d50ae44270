"""What the head of a request says about the call: its codec, its compression each way, its time limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .code import Code
from .codec import CODECS, Codec
from .compression import Compression, installed, negotiate
from .error import RpcError

__all__ = ["STREAM_TYPES", "UNARY_TYPES", "Terms", "content_codec", "parse_timeout", "read_terms", "timeout_field"]

UNARY_TYPES: dict[bytes, Codec] = {f"application/{name}".encode(): codec for name, codec in CODECS.items()}
STREAM_TYPES: dict[bytes, Codec] = {f"application/connect+{name}".encode(): codec for name, codec in CODECS.items()}
LONGEST_TIMEOUT_DIGITS = 10


class Terms:
    """The terms of one call, as the caller set them.

    Args:
        codec: of the messages, both ways.
        received: how what the caller sends is compressed, where it is.
        sent: how what is sent to the caller may be compressed.
        timeout: seconds that the caller gives the call, `None` for no limit.
    """

    __slots__ = ("codec", "received", "sent", "timeout")

    def __init__(
        self,
        codec: Codec,
        received: Compression | None = None,
        sent: Compression | None = None,
        timeout: float | None = None,
    ) -> None:
        self.codec = codec
        self.received = received
        self.sent = sent
        self.timeout = timeout


def content_codec(content_type: bytes | None, types: Mapping[bytes, Codec]) -> Codec | None:
    """The codec of a Content-Type field, or `None` where it is none of `types`."""
    if content_type is None:
        return None
    codec = types.get(content_type)
    if codec is None:
        media_type, _, parameter = content_type.lower().partition(b";")
        codec = types.get(media_type.strip())
        if parameter.strip() not in {b"", b"charset=utf-8", b'charset="utf-8"'}:
            return None
    return codec


def read_terms(fields: Mapping[bytes, bytes], codec: Codec, offered: Iterable[str], prefix: bytes = b"") -> Terms:
    """Read the terms from the fields of a request.

    Args:
        fields: the header fields.
        codec: the codec, found already.
        offered: the compressions that this end offers.
        prefix: `b"connect-"` for a stream.

    Raises:
        RpcError: a field is not well formed, or asks for what is not offered.
    """
    version = fields.get(b"connect-protocol-version")
    if version is not None and version != b"1":
        raise RpcError(Code.INVALID_ARGUMENT, f"Connect-Protocol-Version is {version[:20]!r}; it must be 1")
    return Terms(
        codec,
        received_encoding(fields.get(prefix + b"content-encoding"), offered),
        negotiate(fields.get(prefix + b"accept-encoding"), offered),
        parse_timeout(fields.get(b"connect-timeout-ms")),
    )


def received_encoding(value: bytes | None, offered: Iterable[str]) -> Compression | None:
    """The compression that a Content-Encoding field names.

    Raises:
        RpcError: it is not offered here.
    """
    if value is None or value in (b"", b"identity"):
        return None
    name = value.decode("latin-1")
    compression = installed(name) if name in offered else None
    if compression is None:
        known = ", ".join(name for name in offered if installed(name))
        raise RpcError(Code.UNIMPLEMENTED, f"compression {name[:40]!r} is not known here; known are: {known}")
    return compression


def parse_timeout(value: bytes | None) -> float | None:
    """The seconds of a Connect-Timeout-Ms field.

    Raises:
        RpcError: it is not a number of at most ten digits.
    """
    if value is None:
        return None
    if not value.isdigit() or len(value) > LONGEST_TIMEOUT_DIGITS:
        raise RpcError(Code.INVALID_ARGUMENT, f"Connect-Timeout-Ms is {value[:20]!r}; it must have 1 to 10 digits")
    return int(value) / 1000


def timeout_field(seconds: float) -> tuple[bytes, bytes]:
    """The Connect-Timeout-Ms field for a time limit."""
    return (b"connect-timeout-ms", b"%d" % min(max(0, int(seconds * 1000)), 10**LONGEST_TIMEOUT_DIGITS - 1))
