"""Message classes that no other package's can collide with.

protobuf keeps the types of a process in one pool and refuses a second definition of a name, so that generated code for
`grpc.health.v1` would break every program that also imports gRPC's own. Messages made here live in a pool of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

__all__ = ["message_classes"]

_SCALARS = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "string": FieldDescriptorProto.TYPE_STRING,
}


def message_classes(
    file_name: str, package: str, messages: Mapping[str, str], enums: Mapping[str, str], services: Mapping[str, str]
) -> dict[str, Any]:
    """Classes for messages that are written as in a proto file, one field a line.

    Args:
        file_name: of the proto file that this stands for.
        package: of the proto file.
        messages: the fields of each message: `"[repeated|oneof_name] type name = number"` a line.
        enums: the values of each enum, separated by blanks, from 0; the name is `Message.Enum`.
        services: the methods of each service: `"Name Request Response [stream|both]"` a line.

    Returns:
        The classes by name.
    """
    file = FileDescriptorProto(name=file_name, package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for enum, values in enums.items():
            if enum.startswith(f"{name}."):
                declared = message.enum_type.add(name=enum.partition(".")[2])
                for number, value in enumerate(values.split()):
                    declared.value.add(name=value, number=number)
        for line in fields.strip().splitlines():
            _add_field(message, line.split(), package, enums)
    for name, methods in services.items():
        service = file.service.add(name=name)
        for line in methods.strip().splitlines():
            method, request, response, *streams = line.split()
            service.method.add(
                name=method,
                input_type=f".{package}.{request}",
                output_type=f".{package}.{response}",
                client_streaming=streams == ["both"],
                server_streaming=bool(streams),
            )
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


def _add_field(message: DescriptorProto, words: list[str], package: str, enums: Mapping[str, str]) -> None:
    *label, kind, name, _, number = words
    field = message.field.add(name=name, number=int(number), label=FieldDescriptorProto.LABEL_OPTIONAL)
    if label == ["repeated"]:
        field.label = FieldDescriptorProto.LABEL_REPEATED
    elif label:
        if label[0] not in [oneof.name for oneof in message.oneof_decl]:
            message.oneof_decl.add(name=label[0])
        field.oneof_index = [oneof.name for oneof in message.oneof_decl].index(label[0])
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = FieldDescriptorProto.TYPE_ENUM if kind in enums else FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{package}.{kind}"
