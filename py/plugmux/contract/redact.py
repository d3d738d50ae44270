"""Describes the faults of a configuration by place and rule, and never by a value, which may be a secret."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["MIN_SECRET", "describe_fault", "field_path", "forms_of", "redact"]

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
    shown = " ".join(text.split())
    return HIDDEN if any(form in shown for value in _leaves(values) for form in forms_of(value)) else text


def forms_of(value: str) -> Iterator[str]:
    """How a text may repeat a value: as it is, escaped as in Python and JSON, and of several lines any one.

    White space counts as one blank. What is too short to be searched for is left out.
    """
    utf8 = value.encode("utf-8", "surrogatepass")
    escaped = (
        repr(value)[1:-1],
        repr(utf8)[2:-1],
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
    )
    for form in dict.fromkeys(" ".join(form.split()) for form in (value, *escaped, *value.splitlines())):
        if len(form) >= MIN_SECRET:
            yield form


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
