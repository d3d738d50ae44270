"""Limits the nesting of JSON from a peer or a file, before it is parsed.

Parsers and printers of JSON recurse. Text that is nested deeply enough raises a `RecursionError`, at a depth that
depends on the stack at that moment. A limit that is checked first gives one clear error.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable

__all__ = ["MAX_DEPTH", "TooDeep", "check_depth", "check_value_depth", "parse_json"]

MAX_DEPTH = 100
"""The most arrays and objects within each other; protobuf's parsers have the same limit for messages."""

# Brackets inside strings do not count. The possessive quantifiers prevent backtracking.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


class TooDeep(ValueError):
    """A text or a value is nested deeper than the limit."""


def check_depth(text: str, limit: int = MAX_DEPTH) -> None:
    """Check that JSON text is not nested too deeply; do not check whether it is valid JSON.

    Args:
        text: the text.
        limit: the most arrays and objects within each other.

    Raises:
        TooDeep: it is nested deeper than the limit.
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
    """Check that a value of dictionaries and lists is not nested too deeply.

    Raises:
        TooDeep: it is nested deeper than the limit.
    """
    level: list[object] = [value]
    for _ in range(limit + 1):
        level = [item for outer in level for item in _items(outer)]
        if not level:
            return
    raise _too_deep(limit)


def parse_json(text: str, limit: int = MAX_DEPTH) -> object:
    """Parse JSON that is not nested too deeply. The result can be written as JSON again.

    Python's own parser accepts `NaN` and `1e999`, which are not JSON numbers; here they become text.

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
