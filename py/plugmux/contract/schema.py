"""JSON schemas of configurations: the part of draft 2020-12 that a configuration needs, without a dependency.

    type (one or several)   enum   const   anyOf   allOf   $ref to "#" or "#/$defs/..."
    properties   required   additionalProperties (true, false or a schema)
    items   minItems   maxItems
    minimum   maximum   exclusiveMinimum   exclusiveMaximum   minLength   maxLength

pydantic and similar libraries write these keywords for a settings class. Annotations (`title`, `description`,
`default`, `examples`, `format`, `$comment` and the like) are ignored. So is `pattern`, which is left to the plugin,
because its regular expression could occupy the host for ever. Any other keyword is an error, because ignoring it would
accept invalid values.

Errors name the path of the invalid value, such as `/cache/size`, and never the value, which may be a secret.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, TypeAlias

from ..errors import ConfigError
from .nesting import check_depth
from .registration import MAX_SCHEMA

__all__ = ["BadValue", "Schema"]

MAX_SCHEMA_DEPTH = 64
"""The most schemas within each other while one value is checked."""

BASE_WORK = 10_000
WORK_PER_VALUE = 50
"""The most work of a check, in units of about a microsecond: a base, and an amount for each value inside the checked
one. A schema comes from a plugin, and a few references in it can expand to very many schemas."""

CHOICES_PER_UNIT = 10
"""Choices of an `enum`, or names of a `required`, that are compared in one unit of work."""

MAX_SHOWN_CHOICES = 20
MAX_SHOWN_CHARACTERS = 200
"""The most choices or names that an error lists, and the most characters of the list."""

_Node: TypeAlias = Any
_ANNOTATIONS = frozenset(
    "$schema $id $comment title description default examples deprecated readOnly writeOnly format pattern".split()
)
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": lambda value: _is_number(value),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


class BadValue(ConfigError):
    """A value does not satisfy its schema; `path` is that of the value, such as `/cache/size`, or `/` for the whole."""

    def __init__(self, path: str, detail: str) -> None:
        self.path = path or "/"
        self.detail = detail
        super().__init__(f"{self.path}: {detail}")


class TooMuchWork(BadValue):
    """The check was aborted because it took too much work."""


class Schema:
    """A JSON schema.

    Args:
        root: the schema, as parsed JSON.

    Raises:
        ConfigError: it is not a schema, or uses a keyword that is not supported.
    """

    def __init__(self, root: _Node) -> None:
        self._root = root
        self._work = 0
        _check_schema(root, "#", 0)

    @classmethod
    def parse(cls, text: str) -> Schema:
        """Parse a schema.

        Raises:
            ConfigError: the text is not JSON or not a schema, or uses a keyword that is not supported.
        """
        if len(text) > MAX_SCHEMA:
            raise ConfigError(f"the JSON schema has over {MAX_SCHEMA} characters")
        try:
            check_depth(text)
            return cls(json.loads(text))
        except (ValueError, RecursionError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"the JSON schema is not JSON: {error}") from None

    def check(self, value: Any) -> None:
        """Check a value against the schema.

        Args:
            value: the value, as returned by `json.loads`.

        Raises:
            BadValue: it does not satisfy the schema, or the check takes too much work.
        """
        self._work = BASE_WORK + WORK_PER_VALUE * _count(value)
        self._check(self._root, value, "", 0)

    def _check(self, node: _Node, value: Any, path: str, depth: int) -> None:
        if node is True:
            return
        if node is False:
            raise BadValue(path, "no value is allowed here")
        self._work -= 1 + _weight(node) + (len(value) // 2 if isinstance(value, dict | list) else 0)
        if depth > MAX_SCHEMA_DEPTH or self._work < 0:
            raise TooMuchWork(path, f"it is over {MAX_SCHEMA_DEPTH} levels deep, or takes too much work to check")
        if "$ref" in node:
            self._check(self._resolve(node["$ref"]), value, path, depth + 1)
        for part in node.get("allOf", ()):
            self._check(part, value, path, depth + 1)
        if "anyOf" in node:
            self._check_any(node["anyOf"], value, path, depth)
        _check_plain(node, value, path)
        if isinstance(value, dict):
            self._check_object(node, value, path, depth)
        elif isinstance(value, list):
            self._check_array(node, value, path, depth)

    def _check_any(self, parts: list[_Node], value: Any, path: str, depth: int) -> None:
        errors = []
        for part in parts:
            try:
                self._check(part, value, path, depth + 1)
            except TooMuchWork:
                raise
            except BadValue as error:
                errors.append(error)
            else:
                return
        # The error with the longest path belongs to the alternative that was probably meant.
        raise max(errors, key=lambda error: error.path.count("/") if error.path != "/" else 0)

    def _check_object(self, node: _Node, value: dict[str, Any], path: str, depth: int) -> None:
        properties = node.get("properties", {})
        for name in node.get("required", ()):
            if name not in value:
                raise BadValue(path, f"it needs {name!r}")
        others = node.get("additionalProperties", True)
        for name, item in value.items():
            if name not in properties and others is False:
                known = _some(properties, str) or "none"
                raise BadValue(f"{path}/{_pointer(name)}", f"the key is not known (known: {known})")
            self._check(properties.get(name, others), item, f"{path}/{_pointer(name)}", depth + 1)

    def _check_array(self, node: _Node, value: list[Any], path: str, depth: int) -> None:
        _check_size(len(value), node.get("minItems"), node.get("maxItems"), "items", path)
        for place, item in enumerate(value):
            self._check(node.get("items", True), item, f"{path}/{place}", depth + 1)

    def _resolve(self, reference: str) -> _Node:
        return _resolve(self._root, reference)


def _check_plain(node: Mapping[str, Any], value: Any, path: str) -> None:
    """Check the keywords that do not concern values inside this one."""
    kinds = node.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_TYPES[kind](value) for kind in kinds):
        raise BadValue(path, f"it must be of the type {' or '.join(kinds)}, and is {_type_of(value)}")
    if "enum" in node and not any(_equal(value, choice) for choice in node["enum"]):
        raise BadValue(path, f"it must be one of [{_some(node['enum'], json.dumps)}]")
    if "const" in node and not _equal(value, node["const"]):
        raise BadValue(path, f"it must be {_some([node['const']], json.dumps)}")
    if isinstance(value, str):
        _check_size(len(value), node.get("minLength"), node.get("maxLength"), "characters", path)
    if _is_number(value):
        _check_bounds(node, value, path)


def _check_bounds(node: Mapping[str, Any], value: float, path: str) -> None:
    if "minimum" in node and value < node["minimum"]:
        raise BadValue(path, f"it must be at least {node['minimum']}")
    if "maximum" in node and value > node["maximum"]:
        raise BadValue(path, f"it must be at most {node['maximum']}")
    if "exclusiveMinimum" in node and value <= node["exclusiveMinimum"]:
        raise BadValue(path, f"it must be above {node['exclusiveMinimum']}")
    if "exclusiveMaximum" in node and value >= node["exclusiveMaximum"]:
        raise BadValue(path, f"it must be below {node['exclusiveMaximum']}")


def _check_size(size: int, least: int | None, most: int | None, unit: str, path: str) -> None:
    if least is not None and size < least:
        raise BadValue(path, f"it must have at least {least} {unit}")
    if most is not None and size > most:
        raise BadValue(path, f"it must have at most {most} {unit}")


# -- schemas themselves -----------------------------------------------------------------------------------------------


def _check_schema(node: _Node, place: str, depth: int, root: _Node = None) -> None:
    root = node if root is None else root
    if isinstance(node, bool):
        return
    if not isinstance(node, dict) or depth > MAX_SCHEMA_DEPTH:
        raise ConfigError(f"the JSON schema at {place} is neither an object nor true or false, or too deep")
    for keyword, value in node.items():
        if keyword in _ANNOTATIONS:
            continue
        if keyword not in _KEYWORDS:
            raise ConfigError(
                f"the JSON schema at {place} uses {keyword!r}, which is not supported: see docs/configuration.md"
            )
        if not _KEYWORDS[keyword](value):
            raise ConfigError(f"the JSON schema at {place}: the value of {keyword!r} is not valid")
        for name, inner in _inside(keyword, value):
            _check_schema(inner, f"{place}/{name}", depth + 1, root)
    if "$ref" in node:
        _resolve(root, node["$ref"])


def _inside(keyword: str, value: Any) -> list[tuple[str, _Node]]:
    """The schemas in the value of a keyword."""
    if keyword in ("properties", "$defs"):
        return [(f"{keyword}/{_pointer(name)}", inner) for name, inner in value.items()]
    if keyword in ("anyOf", "allOf"):
        return [(f"{keyword}/{number}", inner) for number, inner in enumerate(value)]
    return [(keyword, value)] if keyword in ("items", "additionalProperties") else []


def _resolve(root: _Node, reference: str) -> _Node:
    if reference == "#":
        return root
    head, _, name = reference.rpartition("/")
    definitions = root.get("$defs", {}) if head == "#/$defs" and isinstance(root, dict) else {}
    if name not in definitions:
        raise ConfigError(f"the JSON schema refers to {reference!r}, which is not in its $defs")
    return definitions[name]


def _weight(node: Mapping[str, Any]) -> int:
    """The work for the long keywords of a schema, for any value."""
    choices = node.get("enum", ())
    composite = sum(_count(choice) for choice in choices if isinstance(choice, dict | list))
    composite += _count(node["const"]) if isinstance(node.get("const"), dict | list) else 0
    return composite + (len(choices) + len(node.get("required", ()))) // CHOICES_PER_UNIT


def _count(value: Any) -> int:
    """The number of values in a value, including itself."""
    count, waiting = 0, [value]
    while waiting:
        count += 1
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return count


def _some(items: Iterable[Any], write: Callable[[Any], str]) -> str:
    """List the first items, for an error."""
    first = list(islice(items, MAX_SHOWN_CHOICES + 1))
    text = ", ".join(map(write, first[:MAX_SHOWN_CHOICES])) + (", ..." if len(first) > MAX_SHOWN_CHOICES else "")
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "..."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


_KEYWORDS: dict[str, Callable[[Any], bool]] = {
    "type": lambda value: all(
        isinstance(kind, str) and kind in _TYPES for kind in (value if isinstance(value, list) else [value])
    ),
    "enum": lambda value: isinstance(value, list),
    "const": lambda value: True,
    "anyOf": _is_schemas,
    "allOf": _is_schemas,
    "$ref": lambda value: isinstance(value, str),
    "$defs": lambda value: isinstance(value, dict),
    "properties": lambda value: isinstance(value, dict),
    "required": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "additionalProperties": lambda value: isinstance(value, bool | dict),
    "items": lambda value: isinstance(value, bool | dict),
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength"), _is_size),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
}


def _equal(one: Any, other: Any) -> bool:
    """Equality of JSON values, where true is not 1."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _type_of(value: Any) -> str:
    return next(name for name, fits in _TYPES.items() if fits(value))


def _pointer(name: str) -> str:
    """Escape a key for a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
