"""Describes the faults of a configuration by place and rule, and never by a value, which may be a secret."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["MIN_SECRET", "describe_fault", "field_path", "redact"]

MIN_SECRET = 4
"""The fewest characters of a value that is searched for in a text; shorter ones occur in any sentence."""

HIDDEN = "the text of the error repeats a value of the configuration, and is not shown"
_BOUNDS = ("ge", "gt", "le", "lt", "min_length", "max_length", "multiple_of", "expected", "pattern")


def describe_fault(error: BaseException, configuration: str) -> str:
    """Describe an error that a configuration has caused, without the values of the configuration.

    Args:
        error: what was raised while the configuration was read or put into effect.
        configuration: the configuration as JSON.
    """
    if type(error).__name__ == "ParseError":  # protobuf's, which repeats values
        return f"at {field_path(str(error)) or '/'}: it is not a field of the message, or not of the field's type"
    details = getattr(error, "errors", None)
    if callable(details):  # pydantic's ValidationError, which repeats values
        return "; ".join(_rules(details()))
    text = " ".join(str(error).split()) or type(error).__name__
    redacted = redact(text, configuration)
    return redacted if redacted == text else f"{type(error).__name__}: {redacted}"


def redact(text: str, configuration: str) -> str:
    """Return the text; if it repeats a value of the configuration, return a note in its place.

    Args:
        text: a text about the configuration.
        configuration: the configuration as JSON.
    """
    try:
        values = json.loads(configuration or "{}")
    except (ValueError, RecursionError):
        return text
    return HIDDEN if any(value in text for value in _leaves(values) if len(value) >= MIN_SECRET) else text


def field_path(message: str) -> str:
    """The path of the field that protobuf's `ParseError` names; empty if it names none."""
    first = message.partition(":")[0]
    if first.startswith("Failed to parse ") and first.endswith(" field"):
        return "/" + first.removeprefix("Failed to parse ").removesuffix(" field").replace(".", "/")
    if 'has no field named "' in message:
        return "/" + message.partition('has no field named "')[2].partition('"')[0]
    return ""


def _rules(details: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The place and the rule of each fault that pydantic reports."""
    for detail in details:
        place = "/" + "/".join(map(str, detail.get("loc", ())))
        bounds = [f"{name} {bound}" for name, bound in (detail.get("ctx") or {}).items() if name in _BOUNDS]
        yield f"at {place}: {', '.join([str(detail.get('type', 'it is not valid')), *bounds])}"


def _leaves(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as mapping:
                waiting += mapping.values()
            case list() as items:
                waiting += items
            case bool() | None:
                pass
            case leaf:
                yield str(leaf)
