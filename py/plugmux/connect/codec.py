"""How messages become bytes: protobuf's binary or JSON form, within the size limits, and compressed where it pays."""

from __future__ import annotations

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


class Codec(Protocol):
    """Turns messages into bytes and back. For bytes that are no such message `decode` raises `RpcError(fault)`."""

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
            # protobuf itself would take [] and ""
            raise RpcError(fault, f"the message is not a JSON object, as that of a {name} is")
        try:
            check_depth(data.decode())
            # Fields that this side does not know are from a newer peer.
            return Parse(data, message_type(), ignore_unknown_fields=True)
        except TooDeep as error:
            raise RpcError(fault, f"the message cannot be read: {error}") from None
        except (ParseError, ValueError, RecursionError) as error:
            raise RpcError(fault, f"the message is not the JSON of a {name}") from error


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
    """The data of a message to be sent, and how they are compressed now, if they are.

    Raises:
        RpcError: the message is over the limit.
    """
    if len(data) > limits.send:
        raise too_large("send", len(data), limits.send)
    if compression is None or len(data) < compress_min:
        return data, None
    return compression.compress(data), compression


def decompress(data: bytes, compression: Compression, limit: int, fault: Code) -> bytes:
    """The data, decompressed; no data are none, as the protocol has it, though no compression makes none of none.

    Raises:
        RpcError: they unpack into more than the limit; or, with the code `fault`, they are not of this compression.
    """
    if not data:
        return data
    try:
        return compression.decompress(data, limit)
    except DecompressedTooLarge:
        raise too_large("receive", limit + 1, limit) from None
    except ValueError as error:
        raise RpcError(fault, f"the message cannot be decompressed: {error}") from error
