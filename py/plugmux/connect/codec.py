"""How messages become bytes: protobuf's binary or JSON form, within the size limits, and compressed where it pays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..contract.nesting import TooDeep, check_depth
from ..errors import ConfigError
from .code import Code
from .compression import Compression, DecompressedTooLarge
from .error import RpcError
from .limits import RpcLimits, too_large

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["CODECS", "JSON", "PROTO", "Codec", "codec_named", "compress_if_worthwhile", "decompress"]

M = TypeVar("M", bound="Message")

LINE = re.compile(r"line \d+ column \d+")


class Codec(Protocol):
    """Encodes and decodes messages. `decode` raises `RpcError` with the code `fault` if the data are not valid."""

    @property
    def name(self) -> str: ...
    def encode(self, message: Message, /) -> bytes: ...
    def encode_stable(self, message: Message, /) -> bytes: ...
    def decode(self, message_type: type[M], data: bytes, fault: Code, /) -> M: ...


class _Proto:
    name = "proto"

    def encode(self, message: Message, /) -> bytes:
        return message.SerializeToString()

    def encode_stable(self, message: Message, /) -> bytes:
        return message.SerializeToString(deterministic=True)

    def decode(self, message_type: type[M], data: bytes, fault: Code, /) -> M:
        try:
            return message_type.FromString(data)
        except Exception as error:  # protobuf's DecodeError, not imported until there is one
            raise RpcError(fault, f"the message is not a serialized {message_type.DESCRIPTOR.full_name}") from error


class _Json:
    name = "json"

    def encode(self, message: Message, /) -> bytes:
        from google.protobuf.json_format import MessageToJson

        return MessageToJson(message, indent=None).encode()

    def encode_stable(self, message: Message, /) -> bytes:
        from google.protobuf.json_format import MessageToJson

        return MessageToJson(message, indent=None, sort_keys=True).encode()

    def decode(self, message_type: type[M], data: bytes, fault: Code, /) -> M:
        from google.protobuf.json_format import Parse, ParseError

        name = message_type.DESCRIPTOR.full_name
        if not data.lstrip().startswith(b"{") and not name.startswith("google.protobuf."):
            # protobuf's own parser accepts [] and ""
            raise RpcError(fault, f"the JSON of a {name} must be an object")
        try:
            check_depth(data.decode())
            # A newer peer may send fields that this end does not know.
            return Parse(data, message_type(), ignore_unknown_fields=True)
        except TooDeep as error:
            raise RpcError(fault, f"the message cannot be read: {error}") from None
        except (ParseError, ValueError, RecursionError) as error:
            raise RpcError(fault, f"the message is not the JSON of a {name}{_place(str(error))}") from error


def _place(message: str) -> str:
    """Where JSON is wrong, by the message of protobuf's parser. The value stays out: it may be a secret."""
    from ..contract.redact import field_path

    if path := field_path(message):
        return f": the field {path} does not have a value of its type"
    found = LINE.search(message)
    return f": it is not valid at {found[0]}" if found else ""


PROTO: Codec = _Proto()
JSON: Codec = _Json()
CODECS: dict[str, Codec] = {codec.name: codec for codec in (PROTO, JSON)}


def codec_named(name: str) -> Codec:
    """The codec of this name.

    Raises:
        ConfigError: there is none.
    """
    codec = CODECS.get(name)
    if codec is None:
        raise ConfigError(f"codec is {name!r}; it must be one of {', '.join(map(repr, CODECS))}")
    return codec


def compress_if_worthwhile(
    data: bytes, limits: RpcLimits, compression: Compression | None, compress_min: int
) -> tuple[bytes, Compression | None]:
    """Compress an encoded message if it is large enough.

    Returns:
        The data to send, and the compression that was applied to them, `None` for none.

    Raises:
        RpcError: the message is over the limit.
    """
    if len(data) > limits.send:
        raise too_large("send", len(data), limits.send)
    if compression is None or len(data) < compress_min:
        return data, None
    return compression.compress(data), compression


def decompress(data: bytes, compression: Compression, limit: int, fault: Code) -> bytes:
    """Decompress a message. An empty message is never compressed, so empty data are returned as they are.

    Raises:
        RpcError: the decompressed data exceed the limit; or, with the code `fault`, the data are not valid.
    """
    if not data:
        return data
    try:
        return compression.decompress(data, limit)
    except DecompressedTooLarge:
        raise too_large("receive", limit + 1, limit) from None
    except ValueError as error:
        raise RpcError(fault, f"the message cannot be decompressed: {error}") from error
