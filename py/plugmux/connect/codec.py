"""How messages become bytes: protobuf's binary or JSON form, within the size limits, and compressed where it pays."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

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


@cache
def _json_format() -> Any:
    """protobuf's own module, imported once there is JSON; an import statement in each call took a tenth of its time."""
    from google.protobuf import json_format

    return json_format


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members; of two with one name, others may take the other one, so neither is taken."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has two members of one name")
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_members)


class _Json:
    name = "json"

    def encode(self, message: Message, /) -> bytes:
        text: str = _json_format().MessageToJson(message, indent=None)
        return text.encode()

    def encode_stable(self, message: Message, /) -> bytes:
        text: str = _json_format().MessageToJson(message, indent=None, sort_keys=True)
        return text.encode()

    def decode(self, message_type: type[M], data: bytes, fault: Code, /) -> M:
        name = message_type.DESCRIPTOR.full_name
        if not data.lstrip().startswith(b"{") and not name.startswith("google.protobuf."):
            # protobuf's own parser accepts [] and ""
            raise RpcError(fault, f"the JSON of a {name} must be an object")
        message = message_type()
        try:
            text = data.decode()
            check_depth(text)
            # A newer peer may send fields that this end does not know.
            _json_format().ParseDict(_DECODER.decode(text), message, ignore_unknown_fields=True)
            return message
        except TooDeep as error:
            raise RpcError(fault, f"the message cannot be read: {error}") from None
        except Exception as error:  # besides its ParseError, protobuf raises what a value of another type leads to
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
