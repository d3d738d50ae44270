"""Message classes whose names cannot collide with those of another package.

protobuf keeps the types of a process in one pool and refuses a second definition of a name. Generated code for
`grpc.health.v1` would therefore break every program that also imports that of gRPC. The messages that are made here
have their own pool.
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
    """Make message classes from definitions that resemble those of a proto file.

    Args:
        file_name: the name of the proto file.
        package: the package of the proto file.
        messages: the fields of each message, one to a line: `"[repeated|oneof_name] type name = number"`.
        enums: the values of each enum, separated by blanks, from 0; the key is `Message.Enum`.
        services: the methods of each service, one to a line: `"Name Request Response [stream|both]"`.

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
