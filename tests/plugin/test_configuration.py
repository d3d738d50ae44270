"""A configuration as an object of the plugin's own type."""

from __future__ import annotations

import json
import re
import traceback
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from kv.v1.kv_pb2 import PutRequest
from plugmux_proto.plugins.v1 import plugins_pb2 as pb

from plugmux.contract.schema import Schema
from plugmux.errors import ConfigError
from plugmux.plugin import Configured


@dataclass
class Cache:
    size: int = 1


@dataclass
class Settings:
    region: Literal["eu", "us"]
    ratio: float = 0.5
    hosts: list[str] = field(default_factory=list)
    caches: dict[str, Cache] = field(default_factory=dict)
    backup: Cache | None = None
    more: Any = None


def test_a_dataclass_gives_the_schema_and_takes_the_values() -> None:
    settings = Configured(Settings)
    given = {"region": "eu", "hosts": ["a"], "caches": {"x": {"size": 2}}, "backup": {"size": 3}, "more": [1]}
    Schema.parse(settings.declared.json_schema).check(given)
    settings.take(json.dumps(given))
    assert settings.value == Settings("eu", 0.5, ["a"], {"x": Cache(2)}, Cache(3), [1])
    assert not settings.declared.reloadable


@pytest.mark.parametrize("text", ["{}", '{"region": "eu", "other": 1}', "{", "[]"])
def test_what_does_not_fit_the_dataclass_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="the configuration cannot be used"):
        Configured(Settings).take(text)


def test_there_is_none_before_the_registration() -> None:
    with pytest.raises(ConfigError, match="comes with the registration"):
        _ = Configured(Settings).value


def test_a_type_that_no_schema_is_made_of_is_refused() -> None:
    @dataclass
    class Odd:
        what: complex

    with pytest.raises(ConfigError, match="there is no JSON schema for"):
        Configured(Odd)


async def test_a_message_is_a_configuration() -> None:
    settings = Configured(PutRequest, on_change=lambda value: None)
    assert settings.declared.message_type == "kv.v1.PutRequest"
    assert settings.declared.reloadable
    settings.take('{"key": "a"}')
    assert settings.value == PutRequest(key="a")
    with pytest.raises(ConfigError, match="cannot be used"):
        await settings.change('{"absent": 1}')
    assert settings.value == PutRequest(key="a")


class Model:
    """What pydantic is to us: an error that repeats the input, and tells of itself in `errors`."""

    class ValidationError(ValueError):
        def errors(self) -> list[dict[str, Any]]:
            return [
                {"loc": ("db", "port"), "type": "less_than_equal", "input": "hunter2", "ctx": {"le": 65535}},
                {"loc": ("tag",), "type": "value_error", "msg": "hunter2", "ctx": {"error": ValueError("hunter2")}},
            ]

    @classmethod
    def validate(cls, value: Any) -> None:
        raise cls.ValidationError("1 validation error [input_value='hunter2']")


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (Model.validate, '{"db": {"port": "hunter2"}}', "at /db/port: less_than_equal, le 65535; at /tag: value_error"),
        (
            lambda values: int(values["port"]),
            '{"port": "hunter2"}',
            "ValueError: the text of the error repeats",
        ),
        (
            lambda values: {}[values["a"][0]["b"]],
            '{"a": [{"b": "hunter2"}]}',
            "KeyError: the text of the error",
        ),
        (pb.Plugin, '{"pid": "hunter2"}', "at /pid: it is not a field of the message, or not of the field's type"),
        (lambda values: values.port, '{"port": "hunter2"}', "'dict' object has no attribute 'port'"),
    ],
)
async def test_an_error_tells_place_and_rule_and_no_value(kind: Any, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        Configured(kind).take(text)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_a_refused_change_tells_no_value_either() -> None:
    settings, secret = Configured(lambda values: values, on_change=Model.validate), "hunter" + "2"
    with pytest.raises(ConfigError, match="the plugin has refused it: at /db/port: less_than_equal") as caught:
        await settings.change(json.dumps({"db": {"port": secret}}))
    assert secret not in "".join(traceback.format_exception(caught.value))


async def test_a_function_makes_the_configuration_and_a_coroutine_takes_a_change() -> None:
    seen: list[int] = []

    async def apply(value: int) -> None:
        if value > 5:
            raise ValueError("too much")
        seen.append(value)

    settings = Configured(lambda values: int(values["n"]), on_change=apply, json_schema='{"required": ["n"]}')
    settings.take('{"n": 1}')
    await settings.change('{"n": 2}')
    with pytest.raises(ConfigError, match="the plugin has refused it: too much"):
        await settings.change('{"n": 9}')
    assert (settings.value, seen) == (2, [2])
