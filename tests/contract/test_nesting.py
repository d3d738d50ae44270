"""How deep JSON may be nested."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plugmux.contract.nesting import MAX_DEPTH, TooDeep, check_depth, check_value_depth, parse_json


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("depth", [0, 1, MAX_DEPTH])
def test_what_is_within_the_limit_passes(depth: int) -> None:
    check_depth(json.dumps(nested(depth)))
    check_value_depth(nested(depth))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500])
def test_what_is_deeper_is_refused(depth: int) -> None:
    with pytest.raises(TooDeep, match="more than 100 levels"):
        check_depth(json.dumps(nested(depth)))
    with pytest.raises(TooDeep, match="more than 100 levels"):
        check_value_depth(nested(depth))


def test_a_text_far_deeper_than_the_stack_is_refused() -> None:
    with pytest.raises(TooDeep):
        check_depth("[" * 1_000_000)


@pytest.mark.parametrize("text", ["[]" * 500, '"' + "[" * 500 + '"', '["\\"' + "[{" * 500 + '"]'])
def test_brackets_beside_each_other_or_in_a_string_are_no_depth(text: str) -> None:
    check_depth(text)


def test_a_string_without_an_end_takes_the_rest_in_time() -> None:
    check_depth("[" * MAX_DEPTH + '"' + "\\[" * 300_000)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999"])
def test_a_number_that_is_none_in_json_becomes_text(text: str) -> None:
    assert parse_json(f"[{text}, 1.5]") == [text, 1.5]
