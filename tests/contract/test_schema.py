"""JSON schemas for configurations."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plugmux.contract.registration import MAX_SCHEMA
from plugmux.contract.schema import BadValue, Schema
from plugmux.errors import ConfigError

SERVER = {
    "$defs": {"port": {"type": "integer", "minimum": 1, "maximum": 65535}},
    "type": "object",
    "required": ["region"],
    "additionalProperties": False,
    "properties": {
        "region": {"enum": ["eu", "us"], "title": "Region"},
        "port": {"$ref": "#/$defs/port"},
        "name": {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^(a+)+$"},
        "ratio": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "hosts": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        "backup": {"anyOf": [{"$ref": "#/$defs/port"}, {"type": "null"}]},
        "inner/~": {"type": "object", "properties": {"deep": {"allOf": [{"type": "boolean"}, {"const": True}]}}},
        "level": {"type": ["string", "integer"]},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "next": {"$ref": "#"},
        "never": False,
    },
}

GOOD: list[dict[str, Any]] = [
    {"region": "eu"},
    {"region": "us", "port": 1, "name": "abc", "ratio": 0.5, "hosts": ["a"], "backup": None, "level": 3},
    {"region": "eu", "port": 2.0, "backup": 5, "inner/~": {"deep": True}, "tags": {"a": "b"}, "level": "x"},
    {"region": "eu", "next": {"region": "us"}},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "/", "it needs 'region'"),
    ({"region": "asia"}, "/region", "one of"),
    ({"region": "eu", "prot": 1}, "/prot", "not known"),
    ({"region": "eu", "port": 0}, "/port", "at least 1"),
    ({"region": "eu", "port": 65536}, "/port", "at most 65535"),
    ({"region": "eu", "port": True}, "/port", "type integer, and is boolean"),
    ({"region": "eu", "port": 1.5}, "/port", "type integer, and is number"),
    ({"region": "eu", "port": float("inf")}, "/port", "type integer"),
    ({"region": "eu", "name": ""}, "/name", "at least 1 characters"),
    ({"region": "eu", "name": "abcd"}, "/name", "at most 3 characters"),
    ({"region": "eu", "ratio": 0}, "/ratio", "above 0"),
    ({"region": "eu", "ratio": 1}, "/ratio", "below 1"),
    ({"region": "eu", "hosts": []}, "/hosts", "at least 1 items"),
    ({"region": "eu", "hosts": ["a", "b", "c"]}, "/hosts", "at most 2 items"),
    ({"region": "eu", "hosts": ["a", 1]}, "/hosts/1", "type string"),
    ({"region": "eu", "backup": "x"}, "/backup", "type"),
    ({"region": "eu", "inner/~": {"deep": False}}, "/inner~1~0/deep", "must be true"),
    ({"region": "eu", "level": None}, "/level", "string or integer"),
    ({"region": "eu", "tags": {"a": 1}}, "/tags/a", "type string"),
    ({"region": "eu", "next": {}}, "/next", "needs 'region'"),
    ({"region": "eu", "never": 1}, "/never", "no value is allowed here"),
]


@pytest.mark.parametrize("value", GOOD)
def test_a_good_value_passes(value: dict[str, Any]) -> None:
    Schema(SERVER).check(value)


@pytest.mark.parametrize(("value", "path", "told"), BAD)
def test_a_bad_value_is_named_by_its_path(value: dict[str, Any], path: str, told: str) -> None:
    with pytest.raises(BadValue, match=told) as caught:
        Schema(SERVER).check(value)
    assert caught.value.path == path


def test_an_error_never_shows_the_value() -> None:
    with pytest.raises(BadValue) as caught:
        Schema(SERVER).check({"region": "s3cr3t"})
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not JSON"),
        ("3", "neither an object"),
        ('{"type": "int"}', "'type' is not valid"),
        ('{"properties": {"a": {"oneOf": []}}}', "#/properties/a uses 'oneOf', which is not supported"),
        ('{"required": [1]}', "'required'"),
        ('{"minimum": "1"}', "'minimum'"),
        ('{"minLength": -1}', "'minLength'"),
        ('{"anyOf": []}', "'anyOf'"),
        ('{"$ref": "http://elsewhere"}', "not in its"),
        ('{"$ref": "#/$defs/absent"}', "not in its"),
        ("[" * 200_000, "not JSON"),
        (" " * 300_000, "over 262144"),
        ('{"items": ' * 80 + "{}" + "}" * 80, "too deep"),
    ],
    ids=range(13),
)
def test_a_schema_that_cannot_be_used_is_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("$", "\\$")):
        Schema.parse(text)


def test_true_and_false_are_schemas() -> None:
    Schema(True).check(3)
    with pytest.raises(BadValue):
        Schema(False).check(3)


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"e": {"enum": list(range(20_000))}}, "anyOf": [{"$ref": "#/$defs/e"}] * 2000},
        {"$defs": {"e": {"enum": [[1] * 50] * 500}}, "anyOf": [{"$ref": "#/$defs/e"}] * 2000},
        {"$defs": {"e": {"required": ["0"] * 20_000}}, "allOf": [{"$ref": "#/$defs/e"}] * 2000},
        {"anyOf": [{"additionalProperties": False}] * 6000},
        {"$defs": {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 60} for n in range(30)} | {"a30": False}}
        | {"$ref": "#/$defs/a0"},
    ],
)
def test_a_check_is_given_up_before_it_takes_long(schema: dict[str, Any]) -> None:
    text = json.dumps(schema)
    assert len(text) < MAX_SCHEMA
    with pytest.raises(BadValue, match="too much work") as caught:
        Schema.parse(text).check({str(n): n for n in range(100)})
    assert len(str(caught.value)) < 500


def test_the_work_of_a_check_grows_with_the_value() -> None:
    Schema.parse('{"items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}').check(list(range(5000)))


def test_an_error_shows_the_first_choices_only() -> None:
    for schema in ({"enum": list(range(10_000))}, {"enum": ["x" * 10_000]}, {"const": "x" * 10_000}):
        with pytest.raises(BadValue) as caught:
            Schema(schema).check("no")
        assert len(str(caught.value)) < 300
    with pytest.raises(BadValue, match=r"known: 0, 1, 2, .*, \.\.\.") as caught:
        Schema({"properties": {str(n): {} for n in range(100)}, "additionalProperties": False}).check({"a": 1})


@pytest.mark.parametrize(
    "text", ['{"enum": [' + "[" * 5000 + "]" * 5000 + "]}", '{"default": ' + '{"a":' * 900 + "1" + "}" * 901]
)
def test_a_schema_that_is_nested_deeply_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="levels deep"):
        Schema.parse(text)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {
            "$defs": {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 4} for n in range(30)} | {"a30": {}},
            "$ref": "#/$defs/a0",
        },
    ],
)
def test_a_schema_that_turns_in_circles_or_explodes_ends(schema: dict[str, Any]) -> None:
    with pytest.raises(BadValue, match="levels deep"):
        Schema.parse(json.dumps(schema)).check({})
