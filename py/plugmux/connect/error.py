"""The error that ends a call, its typed details, and its form on the wire. (Connect protocol, "Error end-stream".)"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import PlugmuxError
from .code import Code
from .metadata import Metadata, MetadataLike, from_base64

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.protobuf.message import Message

__all__ = ["ErrorDetail", "RpcError"]

M = TypeVar("M", bound="Message")
TYPE_URL = "type.googleapis.com/"


class ErrorDetail:
    """One typed detail of an error: the content of a `google.protobuf.Any`.

    Args:
        type_name: the full name of the message type.
        value: the message, serialized.
    """

    __slots__ = ("type_name", "value")

    def __init__(self, type_name: str, value: bytes) -> None:
        self.type_name = type_name
        self.value = value

    @classmethod
    def pack(cls, message: Message) -> ErrorDetail:
        """A detail that holds this message; an `Any` is unpacked first."""
        if message.DESCRIPTOR.full_name == "google.protobuf.Any":
            any_message: Any = message
            return cls(any_message.type_url.rpartition("/")[2], any_message.value)
        return cls(message.DESCRIPTOR.full_name, message.SerializeToString())

    def unpack(self, message_type: type[M]) -> M | None:
        """The message in this detail, or `None` where the detail is of another type."""
        if self.type_name != message_type.DESCRIPTOR.full_name:
            return None
        return message_type.FromString(self.value)

    def to_any(self) -> AnyMessage:
        """The same as a `google.protobuf.Any`."""
        from google.protobuf.any_pb2 import Any as AnyMessage

        return AnyMessage(type_url=TYPE_URL + self.type_name, value=self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ErrorDetail) and (self.type_name, self.value) == (other.type_name, other.value)

    def __hash__(self) -> int:
        return hash((self.type_name, self.value))

    def __repr__(self) -> str:
        return f"<ErrorDetail {self.type_name}>"


class RpcError(PlugmuxError):
    """A call ended with a code other than ok.

    A handler raises it to fail its call. A client method raises it when a call has failed for any reason.

    Args:
        code: the kind of failure.
        message: the reason, for people; it is sent to the caller as it is.
        details: messages of any type, or `ErrorDetail`s, for programs.
        metadata: further fields for the caller: response headers of a unary call, trailers of a stream.

    Raises:
        TypeError: the code is not a `Code`, or the message not a `str`.

    Attributes:
        sent: whether the peer may have acted on the request. Where it is `False` nothing was sent, so that any request
            can be repeated elsewhere.
    """

    def __init__(
        self,
        code: Code,
        message: str = "",
        details: Iterable[ErrorDetail | Message] = (),
        metadata: MetadataLike = (),
    ) -> None:
        if not isinstance(code, Code) or not isinstance(message, str):
            raise TypeError(
                f"an RpcError has a Code and a text, not {type(code).__name__} and {type(message).__name__}"
            )
        super().__init__(f"{code.value}: {message}" if message else code.value)
        self.code = code
        self.message = message
        self.details = tuple(d if isinstance(d, ErrorDetail) else ErrorDetail.pack(d) for d in details)
        self.metadata = metadata if isinstance(metadata, Metadata) else Metadata(metadata)
        self.sent = True

    def detail(self, message_type: type[M]) -> M | None:
        """The first detail of this type, unpacked; `None` where there is none."""
        return next((found for d in self.details if (found := d.unpack(message_type)) is not None), None)


def error_to_json(error: RpcError) -> dict[str, Any]:
    """The error as the JSON object of the protocol."""
    fields: dict[str, Any] = {"code": error.code.value}
    if error.message:
        fields["message"] = error.message
    if error.details:
        fields["details"] = [
            {"type": d.type_name, "value": b2a_base64(d.value, newline=False).rstrip(b"=").decode()}
            for d in error.details
        ]
    return fields


def error_from_json(fields: object, otherwise: Code) -> RpcError:
    """Read an error from its JSON object.

    Args:
        fields: the parsed JSON.
        otherwise: the code to use if the object has none, or an unknown one.
    """
    if not isinstance(fields, dict):
        return RpcError(otherwise, "the peer sent an error that is not a JSON object")
    message = fields.get("message")
    details = fields.get("details")
    return RpcError(
        Code.from_wire(fields.get("code")) or otherwise,
        message if isinstance(message, str) else "",
        [_detail_from_json(d) for d in details if isinstance(d, dict)] if isinstance(details, list) else (),
    )


def _detail_from_json(fields: dict[str, Any]) -> ErrorDetail:
    value = fields.get("value")
    encoded = value.encode("ascii", "ignore") if isinstance(value, str) else b""
    return ErrorDetail(str(fields.get("type", "")).rpartition("/")[2], from_base64(encoded))
