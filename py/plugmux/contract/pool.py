"""The descriptor pool of plugmux's own messages.

protobuf keeps the types of a process in one pool, and refuses a second file or message of the same name. The wire
contract fixes names such as `plugins/v1/plugins.proto`, which a user's own proto may have too. Therefore the modules of
`plugmux_proto` use this module in place of protobuf's pool and builder; `proto/isolate.py` rewrites them.

Messages of two pools cannot be mixed, not even those of `google.protobuf`: a time in one of our messages is a
`plugmux_proto.google.protobuf.timestamp_pb2.Timestamp`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FileDescriptor

__all__ = ["POOL", "add_types"]

POOL = DescriptorPool()

_MessageType: Any = type(FileDescriptorProto)  # the metaclass, whichever implementation protobuf has


def add_types(file: FileDescriptor, module: str, namespace: dict[str, Any]) -> None:
    """Define the messages, enums and services of a file in its module.

    protobuf's own builder would register the messages in the pool of the process.

    Args:
        file: the file in our pool.
        module: the full name of its module.
        namespace: the module's globals.
    """
    for enum in file.enum_types_by_name.values():
        namespace[f"_{enum.name.upper()}"] = enum
        namespace[enum.name] = EnumTypeWrapper(enum)
        namespace.update((value.name, value.number) for value in enum.values)
    for service in file.services_by_name.values():
        namespace[f"_{service.name.upper()}"] = service
    for message in file.message_types_by_name.values():
        namespace[message.name] = _message_class(message, module, "")


def _message_class(message: Descriptor, module: str, outer: str) -> Any:
    name = f"{outer}{message.name}"
    nested = {kind.name: _message_class(kind, module, f"{name}.") for kind in message.nested_types}
    attributes = {**nested, "DESCRIPTOR": message, "__module__": module, "__qualname__": name}
    return _MessageType(message.name, (Message,), attributes)
