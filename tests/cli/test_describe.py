"""`plugmux describe`: a service's schema, and a request that the method takes as it stands."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from plugmux.cli.proto_text import method_as_proto, request_template
from support.tools import LANGUAGES, example_plugin

SERVICE = "kv.v1.KeyValueService"
IMPORTED = (duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plugin_of_every_language_tells_its_schema(plugmux: Any, language: str) -> None:
    launched = ("--plugin", shlex.join(example_plugin(language)))
    ran = plugmux("describe", f"{SERVICE}/Get", *launched)
    assert (ran.status, ran.lines[0]) == (0, "rpc Get(kv.v1.GetRequest) returns (kv.v1.GetResponse);"), ran.stderr
    ran = plugmux("call", f"{SERVICE}/Get", '{"kye": "a"}', *launched)
    assert ran.status == 2
    assert "; did you mean key?" in ran.stderr


def test_a_service_is_shown_as_its_proto_file_has_it(plugmux: Any, plugin: Any) -> None:
    ran = plugmux("describe", SERVICE, "--plugin", plugin("store"))
    assert (ran.status, ran.stderr) == (0, "")
    assert ran.lines == [
        "service kv.v1.KeyValueService {",
        "  rpc Get(kv.v1.GetRequest) returns (kv.v1.GetResponse);",
        "  rpc Put(kv.v1.PutRequest) returns (kv.v1.PutResponse);",
        "  rpc Watch(kv.v1.WatchRequest) returns (stream kv.v1.WatchResponse);",
        "}",
    ]


def test_a_method_comes_with_its_messages_and_a_call_that_works_as_it_stands(plugmux: Any, store: Any) -> None:
    ran = plugmux("describe", f"{SERVICE}/Get", *store)
    assert ran.lines[:5] == [
        "rpc Get(kv.v1.GetRequest) returns (kv.v1.GetResponse);",
        "",
        "message kv.v1.GetRequest {",
        "  string key = 1;",
        "}",
    ]
    program, *arguments = shlex.split(ran.lines[-1])
    assert (program, arguments) == ("plugmux", ["call", f"{SERVICE}/Get", '{"key": ""}'])
    assert plugmux(*arguments, *store).status == 0


def test_json_has_the_template_of_every_request(plugmux: Any, store: Any) -> None:
    told = json.loads(plugmux("describe", SERVICE, "--json", *store).stdout)
    assert told["service"] == SERVICE
    assert [method["template"] for method in told["methods"]] == [{"key": ""}, {"key": "", "value": ""}, {"key": ""}]
    assert [method["server_streaming"] for method in told["methods"]] == [False, False, True]


@pytest.mark.parametrize(
    ("name", "status", "told"),
    [
        ("kv.v1.KeyValueServce", 1, "no plugin serves kv.v1.KeyValueServce; did you mean kv.v1.KeyValueService?"),
        ("nothing.Like", 1, "no plugin serves nothing.Like"),
        (f"{SERVICE}/Gett", 2, f"{SERVICE} has no method Gett; did you mean Get?"),
        ("kv.v1/Key/Value", 2, "'kv.v1/Key/Value' is not of the form SERVICE or SERVICE/METHOD, as"),
    ],
)
def test_what_there_is_not_is_said_with_what_was_probably_meant(
    plugmux: Any, store: Any, name: str, status: int, told: str
) -> None:
    ran = plugmux("describe", name, *store)
    assert (ran.status, ran.stdout) == (status, b"")
    assert ran.stderr.startswith(f"plugmux: {told}")


ALL_KINDS = FileDescriptorProto(name="all.proto", package="all", syntax="proto3")
ALL_KINDS.dependency.extend(module.DESCRIPTOR.name for module in IMPORTED)
ALL_KINDS.enum_type.add(name="Color").value.add(name="COLOR_NONE", number=0)
MESSAGE = ALL_KINDS.message_type.add(name="Everything")
SCALARS = [number for name, number in Field.Type.items() if name not in ("TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM")]
for number, type_ in enumerate(SCALARS, 1):
    MESSAGE.field.add(name=f"s{number}", number=number, type=type_, label=Field.LABEL_OPTIONAL)
MESSAGE.field.add(name="color", number=20, type=Field.TYPE_ENUM, type_name=".all.Color", label=Field.LABEL_OPTIONAL)
MESSAGE.field.add(name="many", number=21, type=Field.TYPE_STRING, label=Field.LABEL_REPEATED)
MESSAGE.field.add(
    name="itself", number=22, type=Field.TYPE_MESSAGE, type_name=".all.Everything", label=Field.LABEL_OPTIONAL
)
MESSAGE.oneof_decl.add(name="choice")
MESSAGE.oneof_decl.add(name="_maybe")
for number, name in enumerate(("left", "right"), 23):
    MESSAGE.field.add(name=name, number=number, type=Field.TYPE_INT32, label=Field.LABEL_OPTIONAL, oneof_index=0)
MESSAGE.field.add(
    name="maybe", number=25, type=Field.TYPE_BOOL, label=Field.LABEL_OPTIONAL, oneof_index=1, proto3_optional=True
)
ENTRY = MESSAGE.nested_type.add(name="TableEntry")
ENTRY.options.map_entry = True
ENTRY.field.add(name="key", number=1, type=Field.TYPE_BOOL, label=Field.LABEL_OPTIONAL)
ENTRY.field.add(name="value", number=2, type=Field.TYPE_INT64, label=Field.LABEL_OPTIONAL)
MESSAGE.field.add(
    name="table", number=26, type=Field.TYPE_MESSAGE, type_name=".all.Everything.TableEntry", label=Field.LABEL_REPEATED
)
for number, name in enumerate(
    ("Duration", "Struct", "ListValue", "Value", "Timestamp", "BoolValue", "BytesValue", "StringValue", "Int64Value"),
    30,
):
    MESSAGE.field.add(
        name=f"known{number}",
        number=number,
        type=Field.TYPE_MESSAGE,
        type_name=f".google.protobuf.{name}",
        label=Field.LABEL_OPTIONAL,
    )
for number, name, json_name in ((40, "spelt_by_rule__1", "speltByRule1"), (41, "renamed", 'r"n')):
    MESSAGE.field.add(name=name, number=number, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL, json_name=json_name)
ALL_KINDS.service.add(name="S").method.add(name="M", input_type=".all.Everything", output_type=".all.Everything")


@pytest.fixture
def pool() -> DescriptorPool:
    pool = DescriptorPool()
    for module in IMPORTED:
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(ALL_KINDS.SerializeToString())
    return pool


def test_the_template_of_any_message_is_taken_by_it(pool: DescriptorPool) -> None:
    message = pool.FindMessageTypeByName("all.Everything")
    template = request_template(message)
    ParseDict(template, GetMessageClass(message)(), descriptor_pool=pool)
    assert template["itself"] == {}
    assert (template["many"], template["table"], template["color"]) == ([""], {"false": 0}, "COLOR_NONE")
    assert ("left" in template, "right" in template, template["maybe"]) == (True, False, False)
    assert template["known34"] == "1970-01-01T00:00:00Z"


def test_every_kind_of_field_is_written_as_a_proto_file_has_it(pool: DescriptorPool) -> None:
    shown = method_as_proto(pool.FindMethodByName("all.S.M"))
    for line in (
        "  repeated string many = 21;",
        "  all.Everything itself = 22;",
        "  oneof choice {\n    int32 left = 23;\n    int32 right = 24;\n  }",
        "  optional bool maybe = 25;",
        "  map<bool, int64> table = 26;",
        "  google.protobuf.Timestamp known34 = 34;",
        "enum all.Color {\n  COLOR_NONE = 0;\n}",
        "  string spelt_by_rule__1 = 40;",
        '  string renamed = 41 [json_name = "r\\"n"];',
    ):
        assert f"{line}\n" in f"{shown}\n"


def test_a_schema_that_grows_without_end_gives_a_template_of_bounded_size() -> None:
    file = FileDescriptorProto(name="wide.proto", package="wide", syntax="proto3")
    for depth in range(2_000):
        message = file.message_type.add(name=f"M{depth}")
        for number in (1, 2):
            message.field.add(
                name=f"f{number}",
                number=number,
                type=Field.TYPE_MESSAGE,
                type_name=f".wide.M{min(depth + 1, 1_999)}",
                label=Field.LABEL_OPTIONAL,
            )
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    text = json.dumps(request_template(pool.FindMessageTypeByName("wide.M0")))
    assert text.count('"f') == 1_000
