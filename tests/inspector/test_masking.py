"""What is secret in a message is masked before a browser gets it, whatever form the message has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse

from plugmux.connect import ErrorDetail
from plugmux.dynamic.masking import MASK
from plugmux.inspector.masking import Masker

TEXT, BYTES, MESSAGE = (
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_BYTES,
    FieldDescriptorProto.TYPE_MESSAGE,
)


def schema() -> DescriptorPool:
    """A message with a secret beside a text, a list, a map and itself."""
    file = FileDescriptorProto(name="login.proto", package="login", syntax="proto3")
    login = file.message_type.add(name="Login")
    entry = login.nested_type.add(name="ByNameEntry")
    entry.options.map_entry = True
    for number, (name, kind) in enumerate({"key": TEXT, "value": MESSAGE}.items(), 1):
        field = entry.field.add(name=name, number=number, type=kind, label=FieldDescriptorProto.LABEL_OPTIONAL)
        if kind == MESSAGE:
            field.type_name = ".login.Login"
    for number, (name, kind, label) in enumerate(
        [
            ("user", TEXT, FieldDescriptorProto.LABEL_OPTIONAL),
            ("pass_word", TEXT, FieldDescriptorProto.LABEL_OPTIONAL),
            ("keys", BYTES, FieldDescriptorProto.LABEL_REPEATED),
            ("other", MESSAGE, FieldDescriptorProto.LABEL_OPTIONAL),
            ("list", MESSAGE, FieldDescriptorProto.LABEL_REPEATED),
            ("by_name", MESSAGE, FieldDescriptorProto.LABEL_REPEATED),
        ],
        1,
    ):
        field = login.field.add(name=name, number=number, type=kind, label=label)
        field.options.debug_redact = name in ("pass_word", "keys")
        if kind == MESSAGE:
            field.type_name = ".login.Login.ByNameEntry" if name == "by_name" else ".login.Login"
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = schema()
LOGIN = POOL.FindMessageTypeByName("login.Login")
SECRET = {"user": "ann", "passWord": "s3cret", "keys": ["czNjcmV0"]}
SHOWN = {"user": "ann", "passWord": MASK, "keys": MASK}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (SECRET, SHOWN),
        ({"pass_word": "s3cret"}, {"pass_word": MASK}),
        ({"other": {"other": SECRET}}, {"other": {"other": SHOWN}}),
        ({"list": [SECRET, {}]}, {"list": [SHOWN, {}]}),
        ({"byName": {"a": SECRET}}, {"byName": {"a": SHOWN}}),
        ({"unknown": 1, "user": None, "passWord": None}, {"unknown": 1, "user": None, "passWord": None}),
        ({"other": "of a wrong type", "list": 3, "byName": []}, {"other": "of a wrong type", "list": 3, "byName": []}),
        ("no object", "no object"),
    ],
)
def test_a_secret_is_masked_wherever_it_stands(message: object, shown: object) -> None:
    assert Masker("login.v1.LoginService", POOL).message(message, LOGIN) == shown


def test_an_error_does_not_repeat_what_was_masked() -> None:
    masker = Masker("login.v1.LoginService", POOL)
    masker.message({"passWord": "s3cret", "keys": ["a2V5LW9mLWFubg=="]}, LOGIN)
    assert masker.text("s3cret is wrong, key-of-ann too") == f"{MASK} is wrong, {MASK} too"


def test_the_details_of_an_error_are_shown_with_their_secrets_masked() -> None:
    masker = Masker("login.v1.LoginService", POOL)
    detail = GetMessageClass(LOGIN)(user="ann", pass_word="s3cret")
    assert json.loads(masker.detail(ErrorDetail.pack(detail))) == {"user": "ann", "passWord": MASK}
    assert masker.detail(ErrorDetail("not.Known", b"")) == ""
    assert masker.detail(ErrorDetail("login.Login", b"\xff")) == ""
    assert Masker("login.v1.LoginService", None).detail(ErrorDetail.pack(detail)) == ""


def test_a_secret_of_a_provider_is_masked_with_a_schema_and_without() -> None:
    message = {"envelopes": [{"id": "a", "value": "czNjcmV0"}]}
    of: Any = GetSecretsResponse.DESCRIPTOR
    found = Masker("resolver.v1.ResolverService", POOL).message(message, of)
    assert found == {"envelopes": [{"id": "a", "value": MASK}]}
    assert Masker("resolver.v1.ResolverService", None).message(message, None) == MASK


def test_what_an_any_holds_is_not_shown() -> None:
    pool = DescriptorPool()
    file = FileDescriptorProto(name="google/protobuf/any.proto", package="google.protobuf", syntax="proto3")
    any_type = file.message_type.add(name="Any")
    any_type.field.add(name="value", number=2, type=BYTES, label=FieldDescriptorProto.LABEL_OPTIONAL)
    pool.AddSerializedFile(file.SerializeToString())
    shown = Masker("a.B", pool).message(
        {"@type": "x/a.C", "secret": 1}, pool.FindMessageTypeByName("google.protobuf.Any")
    )
    assert shown == {"@type": "x/a.C", "value": MASK}
