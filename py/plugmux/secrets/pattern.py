"""Ids of secrets, and patterns over them.

An id is one or more components joined by slashes: `vault/db/password`. A pattern is an id in which a component may be a
wildcard: `*` matches exactly one component, `**` any number of them, including none. A wildcard is a whole component:
`db-*` is neither an id nor a pattern. (docs/wire.md section 5.)

`contract.patterns` has the matching algorithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..contract.patterns import ANY, Machine
from ..contract.registration import ID, MAX_PATTERN, PATTERN
from .error import InvalidPattern

__all__ = ["Pattern", "SecretId"]

SHOWN = 80


class SecretId(str):
    """The valid id of a secret; a `str` in every other respect.

    Raises:
        InvalidPattern: the text is not an id, or has over 4096 characters.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> SecretId:
        if isinstance(text, SecretId):
            return text
        if not _is_id(text):
            raise InvalidPattern(
                f"{_shown(text)} is not the id of a secret: it must be components of letters, digits and ._:- joined "
                f"by slashes, with at most {MAX_PATTERN} characters in all"
            )
        return super().__new__(cls, text)


@dataclass(frozen=True)
class Pattern:
    """A pattern that matches ids of secrets; two patterns are equal if their texts are.

    Args:
        text: the pattern as it is written.

    Raises:
        InvalidPattern: the text is not a pattern, or has over 4096 characters.
    """

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > MAX_PATTERN or not PATTERN.fullmatch(self.text):
            raise InvalidPattern(
                f'{_shown(self.text)} is not a pattern: it must be components joined by slashes, each "*", "**" or '
                f"made of letters, digits and ._:- alone, with at most {MAX_PATTERN} characters in all"
            )

    @classmethod
    def of(cls, pattern: Pattern | str) -> Pattern:
        """Parse a text as a pattern; return a pattern as it is."""
        return pattern if isinstance(pattern, Pattern) else cls(pattern)

    @cached_property
    def components(self) -> tuple[str, ...]:
        """The components, which slashes separate."""
        return tuple(self.text.split("/"))

    @property
    def is_id(self) -> bool:
        """Whether the pattern has no wildcard, so that it matches only itself."""
        return "*" not in self.text

    def match(self, id: str) -> bool:
        """Whether the pattern matches an id; no pattern matches text that is not a well formed id."""
        return _is_id(id) and self._machine.accepts(id.split("/"))

    def includes(self, other: Pattern | str) -> bool:
        """Whether the pattern includes another one, by the rule that all runtimes share.

        The rule treats the other pattern as an id, and lets a literal component of this one match `*` as well. So `**`
        includes every pattern, and `a/b` includes `a/*`, because a provider that can answer for one id of a pattern is
        asked.
        """
        return self._machine.accepts(self.of(other).components)

    def filter(self, other: Pattern | str) -> Pattern | None:
        """The narrower of two patterns if one includes the other, `other` if both do, and otherwise `None`."""
        other = self.of(other)
        if self._machine.accepts(other.components):
            return other
        return self if other._machine.accepts(self.components) else None

    def expand(self, other: Pattern | str) -> Pattern:
        """The pattern with its `**` replaced by an id or by another pattern.

        Raises:
            InvalidPattern: there is not exactly one `**` in this pattern, or the result would be too long.
        """
        if self.components.count(ANY) != 1:
            raise InvalidPattern(f'{_shown(self.text)} cannot be expanded: it must have exactly one component "**"')
        other = self.of(other)
        return Pattern("/".join(other.text if component == ANY else component for component in self.components))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    @cached_property
    def _machine(self) -> Machine:
        return Machine(self.components)


def _is_id(text: str) -> bool:
    return len(text) <= MAX_PATTERN and ID.fullmatch(text) is not None


def _shown(text: str) -> str:
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}..."
