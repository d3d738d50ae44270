"""A service's schema for people: in the words of a proto file, and as the JSON of a request to fill in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

__all__ = ["method_as_json", "method_as_proto", "request_template", "service_as_proto"]

MAX_TEMPLATE = 1_000
"""Fields in a template; a plugin's schema could make it grow without end."""
DEEPEST_TEMPLATE = 20
"""Messages within messages in a template."""

SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_FIXED64: "fixed64",
    FieldDescriptor.TYPE_FIXED32: "fixed32",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_SFIXED32: "sfixed32",
    FieldDescriptor.TYPE_SFIXED64: "sfixed64",
    FieldDescriptor.TYPE_SINT32: "sint32",
    FieldDescriptor.TYPE_SINT64: "sint64",
}
WELL_KNOWN: dict[str, Any] = {
    "google.protobuf.Any": {},
    "google.protobuf.Duration": "0s",
    "google.protobuf.Empty": {},
    "google.protobuf.FieldMask": "",
    "google.protobuf.ListValue": [],
    "google.protobuf.Struct": {},
    "google.protobuf.Timestamp": "1970-01-01T00:00:00Z",
    "google.protobuf.Value": None,
    **{f"google.protobuf.{name}Value": 0 for name in ("Double", "Float", "Int32", "Int64", "UInt32", "UInt64")},
    "google.protobuf.BoolValue": False,
    "google.protobuf.BytesValue": "",
    "google.protobuf.StringValue": "",
}
"""Messages that JSON writes in a form of their own."""

Type: TypeAlias = Descriptor | EnumDescriptor


def service_as_proto(service: ServiceDescriptor) -> str:
    """The service with all its methods."""
    methods = "".join(f"  {_rpc(method)};\n" for method in service.methods)
    return f"service {service.full_name} {{\n{methods}}}"


def method_as_proto(method: MethodDescriptor) -> str:
    """The method, and every message and enum that its request and response hold."""
    types = dict.fromkeys([*_types(method.input_type, {}), *_types(method.output_type, {})])
    return "\n\n".join([f"{_rpc(method)};", *(_definition(each) for each in types)])


def method_as_json(method: MethodDescriptor) -> dict[str, Any]:
    """The method for programs: its name, its messages, whether each is a stream, and the template of a request."""
    return {
        "name": method.name,
        "request": method.input_type.full_name,
        "response": method.output_type.full_name,
        "client_streaming": method.client_streaming,
        "server_streaming": method.server_streaming,
        "template": request_template(method.input_type),
    }


def request_template(message: Descriptor) -> Any:
    """JSON that the message takes, with every field at its zero value: of a oneof the first, of a list one element.

    A message within itself is `{}`, and so is one more than 20 deep; what is beyond 1,000 fields is left out.
    """
    return _Template().of(message, ())


class _Template:
    def __init__(self) -> None:
        self._left = MAX_TEMPLATE

    def of(self, message: Descriptor, within: tuple[Descriptor, ...]) -> Any:
        if message.full_name in WELL_KNOWN:
            return WELL_KNOWN[message.full_name]
        if message in within or len(within) == DEEPEST_TEMPLATE:
            return {}
        filled: dict[str, Any] = {}
        for field in message.fields:
            others = field.containing_oneof
            if others is not None and field.number != others.fields[0].number:
                continue
            self._left -= 1
            if self._left < 0:
                break
            filled[field.json_name] = self._field(field, (*within, message))
        return filled

    def _field(self, field: FieldDescriptor, within: tuple[Descriptor, ...]) -> Any:
        if (entry := _map_entry(field)) is not None:
            key = _zero(entry.fields_by_name["key"])
            return {key if isinstance(key, str) else str(key).lower(): self._one(entry.fields_by_name["value"], within)}
        value = self._one(field, within)
        return [value] if _is_repeated(field) else value

    def _one(self, field: FieldDescriptor, within: tuple[Descriptor, ...]) -> Any:
        return _zero(field) if field.message_type is None else self.of(field.message_type, within)


def _zero(field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[0].name
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        return ""
    return False if field.type == FieldDescriptor.TYPE_BOOL else 0


def _rpc(method: MethodDescriptor) -> str:
    takes = ("stream " if method.client_streaming else "") + method.input_type.full_name
    gives = ("stream " if method.server_streaming else "") + method.output_type.full_name
    return f"rpc {method.name}({takes}) returns ({gives})"


def _types(message: Descriptor, found: dict[Type, None]) -> dict[Type, None]:
    """The message and the types that it holds, each once, but for those that every protobuf brings along."""
    waiting: list[Type] = [message]
    while waiting:
        each = waiting.pop(0)
        if each in found or each.full_name in WELL_KNOWN:
            continue
        found[each] = None
        for field in each.fields if isinstance(each, Descriptor) else ():
            entry = _map_entry(field)
            held = field if entry is None else entry.fields_by_name["value"]
            waiting += [type_ for type_ in (held.message_type, held.enum_type) if type_ is not None]
    return found


def _definition(type_: Type) -> str:
    if isinstance(type_, EnumDescriptor):
        values = "".join(f"  {value.name} = {value.number};\n" for value in type_.values)
        return f"enum {type_.full_name} {{\n{values}}}"
    return f"message {type_.full_name} {{\n{''.join(_fields(type_))}}}"


def _fields(message: Descriptor) -> Iterator[str]:
    for field in message.fields:
        choice = field.containing_oneof
        if choice is None or _is_optional(field):
            yield f"  {_label(field)}{_field(field)}"
        elif field.number == choice.fields[0].number:
            of = "".join(f"    {_field(each)}" for each in choice.fields)
            yield f"  oneof {choice.name} {{\n{of}  }}\n"


def _field(field: FieldDescriptor) -> str:
    by_name = re.sub("_+([A-Za-z0-9])?", lambda found: (found[1] or "").upper(), field.name)
    renamed = "" if field.json_name == by_name else f" [json_name = {json.dumps(field.json_name)}]"
    return f"{_type(field)} {field.name} = {field.number}{renamed};\n"


def _label(field: FieldDescriptor) -> str:
    if _is_repeated(field):
        return "" if _map_entry(field) is not None else "repeated "
    return "optional " if _is_optional(field) else ""


def _is_repeated(field: FieldDescriptor) -> bool:
    if (repeated := getattr(field, "is_repeated", None)) is None:  # protobuf 6.30 has the label alone
        repeated = getattr(field, "label", None) == FieldDescriptor.LABEL_REPEATED
    return bool(repeated)


def _is_optional(field: FieldDescriptor) -> bool:
    """Whether it is `optional` in a proto3 file, which makes a oneof of it alone."""
    choice = field.containing_oneof
    return choice is not None and len(choice.fields) == 1 and choice.name == f"_{field.name}"


def _type(field: FieldDescriptor) -> str:
    if (entry := _map_entry(field)) is not None:
        return f"map<{_type(entry.fields_by_name['key'])}, {_type(entry.fields_by_name['value'])}>"
    named = field.message_type or field.enum_type
    return SCALARS[field.type] if named is None else named.full_name


def _map_entry(field: FieldDescriptor) -> Descriptor | None:
    message: Descriptor | None = field.message_type
    return message if message is not None and message.GetOptions().map_entry else None
