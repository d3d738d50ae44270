"""`plugmux call`: JSON in, JSON out, without a schema."""

from __future__ import annotations

import base64
import io
import json
import sys
from typing import Any

import pytest

GET = "kv.v1.KeyValueService/Get"
WATCH = "kv.v1.KeyValueService/Watch"


def value(text: str) -> str:
    return json.dumps({"value": base64.b64encode(text.encode()).decode()}, separators=(",", ":"))


def test_a_unary_answer_is_one_line(plugmux: Any, plugin: Any) -> None:
    ran = plugmux("call", "--plugin", plugin("store"), GET, '{"key": "a"}')
    assert (ran.status, ran.lines, ran.stderr) == (0, [value("a of store")], "")


def test_a_stream_is_a_line_for_each_message(plugmux: Any, plugin: Any) -> None:
    ran = plugmux("call", "--plugin", plugin("store"), WATCH, '{"key": "a"}')
    assert (ran.status, ran.lines, ran.stderr) == (0, [value("0"), value("1"), value("2")], "")


def test_a_stream_that_fails_prints_what_came_before(plugmux: Any, plugin: Any) -> None:
    ran = plugmux("call", "--plugin", plugin("store"), WATCH, '{"key": "broken"}')
    assert (ran.status, len(ran.lines)) == (1, 3)
    assert ran.stderr == f"plugmux: {WATCH}: data_loss: no more\n"


def test_the_request_is_empty_by_default_and_can_come_from_stdin(
    plugmux: Any, plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plugmux("call", "--plugin", plugin("store"), GET).lines == [value(" of store")]
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"key":\n "a"}\n'))
    assert plugmux("call", "--plugin", plugin("store"), GET, "-").lines == [value("a of store")]


@pytest.mark.parametrize(
    ("method", "request_json", "told"),
    [
        (GET, '{"key": "missing"}', f"plugmux: {GET}: not_found: no such key\n"),
        (GET, '{"key": 5}', f"plugmux: {GET}: invalid_argument: "),
        (GET, "{} {}", f"plugmux: {GET}: "),
        ("kv.v1.KeyValueService/Nope", "{}", "plugmux: kv.v1.KeyValueService/Nope: unimplemented: "),
        ("kv.v1.Nope/Get", "{}", "no plugin serves kv.v1.Nope"),
    ],
)
def test_a_call_that_fails_says_its_code_and_message(
    plugmux: Any, plugin: Any, method: str, request_json: str, told: str
) -> None:
    ran = plugmux("call", "--plugin", plugin("store"), method, request_json)
    assert (ran.status, ran.stdout) == (1, b"")
    assert told in ran.stderr


def test_one_of_several_plugins_is_chosen_by_name(plugmux: Any, plugin: Any) -> None:
    plugins = ["--plugin", plugin("one"), "--plugin", plugin("two")]
    ran = plugmux("call", *plugins, GET, '{"key": "a"}')
    assert (ran.status, ran.stdout) == (2, b"")
    assert ran.stderr == "plugmux: one, two all serve kv.v1.KeyValueService; choose one with --name\n"
    assert plugmux("call", *plugins, "--name", "two", GET, '{"key": "a"}').lines == [value("a of two")]
    assert plugmux("call", *plugins, "--name", "three", GET, '{"key": "a"}').status == 1
