"""How messages become bytes: protobuf's binary form, or its JSON form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from ..errors import ConfigError
from ..nesting import TooDeep, check_depth
from .code import Code
from .error import RpcError

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["CODECS", "JSON", "PROTO", "Codec", "codec_named"]

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
