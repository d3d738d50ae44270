"""How deep JSON from a peer or a file may be nested, checked before it is parsed.

Parsers and printers of JSON recurse: a text that is nested deeply enough ends in a `RecursionError`, and where depends
on the depth of the stack at that moment. A bound that is checked first makes it one clear refusal.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable

__all__ = ["MAX_DEPTH", "TooDeep", "check_depth", "check_value_depth", "parse_json"]

MAX_DEPTH = 100
"""Arrays and objects within each other; protobuf's parsers take as many messages."""

# A string takes the brackets in it. No quantifier gives back what it took.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


class TooDeep(ValueError):
    """A text or a value is nested deeper than the limit."""


def check_depth(text: str, limit: int = MAX_DEPTH) -> None:
    """See that a JSON text is not nested too deeply; whether it is JSON is not looked at.

    Args:
        text: the text.
        limit: arrays and objects that may stand within each other.

    Raises:
        TooDeep: it is.
    """
    if text.count("[") + text.count("{") <= limit:
        return
    depth = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > limit:
                raise _too_deep(limit)
        elif first != '"':
            depth -= 1


def check_value_depth(value: object, limit: int = MAX_DEPTH) -> None:
    """See that a value made of dictionaries and lists is not nested too deeply.

    Raises:
        TooDeep: it is.
    """
    level: list[object] = [value]
    for _ in range(limit + 1):
        level = [item for outer in level for item in _items(outer)]
        if not level:
            return
    raise _too_deep(limit)


def parse_json(text: str, limit: int = MAX_DEPTH) -> object:
    """Parse JSON that is not nested too deeply into values that can be written as JSON again.

    Python's own parser takes numbers that are none in JSON (`NaN`, `1e999`); here they become text.

    Raises:
        TooDeep: it is nested deeper than the limit.
        ValueError: it is not JSON.
    """
    check_depth(text, limit)
    return json.loads(text, parse_float=_number, parse_constant=str)


def _number(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _items(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _too_deep(limit: int) -> TooDeep:
    return TooDeep(f"it is nested more than {limit} levels deep")
