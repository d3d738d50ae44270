"""Semantic versions and ranges of them, as npm has them: `Range.parse("^1.2").includes(Version.parse("v1.4.0"))`.

    range       = set ("||" set)*               one of the sets is to fit
    set         = comparator (" " comparator)*  all comparators are to hold
                | partial " - " partial         from the one to the other, both included
    comparator  = ("<" | "<=" | ">" | ">=" | "=" | "^" | "~")? partial
    partial     = a version of which the end may be missing, or "x", "X" or "*"; an operator may stand apart from it

A version with a prerelease fits only a set that names a prerelease of the same major.minor.patch: who asks for `^1.2`
has not asked for 1.3.0-rc.1. (semver.org 2.0.0; the grammar of npm's ranges.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import total_ordering
from itertools import takewhile
from typing import TypeAlias

from ..errors import ConfigError

__all__ = ["Range", "Version"]

MAX_LENGTH = 256
"""Characters that a range or a version may have."""

_NUMBER = r"(?:0|[1-9][0-9]*)"
_LABELS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_PRERELEASE_LABEL = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_TAIL = rf"(?:-(?P<pre>{_PRERELEASE_LABEL}(?:\.{_PRERELEASE_LABEL})*))?(?:\+(?P<build>{_LABELS}))?"
_VERSION = re.compile(rf"v?(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER}){_TAIL}", re.ASCII)
_SHORT_VERSION = re.compile(rf"v(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER}))?", re.ASCII)
_ANY = rf"(?:{_NUMBER}|[xX*])"
_COMPARATOR = re.compile(
    rf"(?P<operator><=|>=|<|>|=|\^|~>?|)v?(?P<major>{_ANY})(?:\.(?P<minor>{_ANY})(?:\.(?P<patch>{_ANY}){_TAIL})?)?",
    re.ASCII,
)
_SPACE_BEHIND_OPERATOR = re.compile(r"(<=|>=|<|>|=|\^|~>?)\s+")


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One version, in the order that semver gives them; what stands behind a "+" does not count.

    Args:
        major: rises with what is not compatible.
        minor: rises with what is new and compatible.
        patch: rises with corrections.
        prerelease: the identifiers behind a "-".
        build: what stands behind a "+".
    """

    major: int
    minor: int = 0
    patch: int = 0
    prerelease: tuple[str, ...] = ()
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a version: `1.2.3` or `v1.2.3`. Behind a "v", patch and minor may be missing: `v1.2`, `v1`.

        These are the versions that Go's `x/mod/semver` calls valid, and those of semver.org, which have no "v".

        Raises:
            ConfigError: the text is not a version.
        """
        if len(text) <= MAX_LENGTH:
            if match := _VERSION.fullmatch(text):
                major, minor, patch = map(int, match.group("major", "minor", "patch"))
                return cls(major, minor, patch, _split(match["pre"]), match["build"] or "")
            if match := _SHORT_VERSION.fullmatch(text):
                return cls(int(match["major"]), int(match["minor"] or 0))
        raise ConfigError(f'{text[:140]!r} is not a semantic version: write it as "1.2.3", or "1.2.3-rc.1"')

    @property
    def triple(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        return self.major, self.minor, self.patch

    def _key(self) -> tuple[tuple[int, int, int], bool, list[tuple[int, int, str]]]:
        # A release is above its prereleases; a number is below a word.
        labels = [(0, int(label), "") if label.isdigit() else (1, 0, label) for label in self.prerelease]
        return self.triple, not self.prerelease, labels

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key() == other._key()

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash((self.triple, self.prerelease))

    def __str__(self) -> str:
        prerelease = "-" + ".".join(self.prerelease) if self.prerelease else ""
        return f"{self.major}.{self.minor}.{self.patch}{prerelease}" + (f"+{self.build}" if self.build else "")


_Bound: TypeAlias = tuple[str, Version]
"""One of `<`, `<=`, `>`, `>=`, `=`, and the version to compare with."""


@dataclass(frozen=True, slots=True)
class Range:
    """The versions that somebody is content with.

    Args:
        text: the range as it was written.
        sets: the sets of bounds; all bounds of one of the sets are to hold.
    """

    text: str
    sets: tuple[tuple[_Bound, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read a range, such as `^1.2`, `~1.2.3`, `>=1.2 <3 || 4.x` or `1.2 - 2`; an empty one includes every version.

        Raises:
            ConfigError: it is none.
        """
        if len(text) > MAX_LENGTH:
            raise ConfigError(f"the range of versions {text[:40]!r}... has over {MAX_LENGTH} characters")
        try:
            return cls(text, tuple(tuple(_bounds(part.strip())) for part in text.split("||")))
        except ConfigError as error:
            raise ConfigError(
                f'{text!r} is not a range of versions: {error}; write it as "^1.2" or ">=1.2 <3"'
            ) from None

    def includes(self, version: Version) -> bool:
        """Whether a version is in the range."""
        return any(_fits(version, bounds) for bounds in self.sets)

    def __str__(self) -> str:
        return self.text or "*"


def _fits(version: Version, bounds: tuple[_Bound, ...]) -> bool:
    if not all(_holds(version, operator, bound) for operator, bound in bounds):
        return False
    return not version.prerelease or any(bound.prerelease and bound.triple == version.triple for _, bound in bounds)


def _holds(version: Version, operator: str, bound: Version) -> bool:
    match operator:
        case "<":
            return version < bound
        case "<=":
            return version <= bound
        case ">":
            return version > bound
        case ">=":
            return version >= bound
        case _:
            return version == bound


_LOWEST = ("0",)
_NOTHING: _Bound = ("<", Version(0, 0, 0, _LOWEST))


def _bounds(text: str) -> Iterator[_Bound]:
    first, dash, last = text.partition(" - ")
    if dash:
        yield from _comparator(f">={first.strip()}")
        yield from _comparator(f"<={last.strip()}")
        return
    for word in _SPACE_BEHIND_OPERATOR.sub(r"\1", text).split():
        yield from _comparator(word)


def _comparator(word: str) -> Iterator[_Bound]:
    """The bounds that one comparator stands for."""
    match = _COMPARATOR.fullmatch(word)
    if match is None:
        raise ConfigError(f"{word!r} cannot be read")
    parts = [part for part in match.group("major", "minor", "patch") if part is not None]
    given = [int(part) for part in takewhile(str.isdigit, parts)]
    prerelease = _split(match["pre"])
    if any(map(str.isdigit, parts[len(given) :])) or (prerelease and len(given) < 3):
        raise ConfigError(f"{word!r} has something behind an x")
    low = _filled(given, prerelease)
    match match["operator"]:
        case "^":
            yield from _between(low, _above(given, next((n for n, part in enumerate(given) if part), len(given) - 1)))
        case "~" | "~>":
            yield from _between(low, _above(given, min(1, len(given) - 1)))
        case "" | "=" if len(given) < 3:
            yield from _between(low, _above(given, len(given) - 1))
        case "" | "=":
            yield "=", low
        case ">" | "<=" as operator if len(given) < 3:
            above = _above(given, len(given) - 1)
            if above is not None:
                yield (">=", Version(*above.triple)) if operator == ">" else ("<", above)
            elif operator == ">":
                yield _NOTHING
        case "<" if not given:
            yield _NOTHING
        case "<" if len(given) < 3:
            yield "<", Version(*low.triple, _LOWEST)
        case operator:
            yield operator, low


def _above(given: list[int], place: int) -> Version | None:
    """The lowest version, with its prereleases, whose number at a place is one higher; `None` for no place."""
    if place < 0:
        return None
    return _filled([*given[:place], given[place] + 1], _LOWEST)


def _filled(given: list[int], prerelease: tuple[str, ...]) -> Version:
    major, minor, patch, *_ = [*given, 0, 0, 0]
    return Version(major, minor, patch, prerelease)


def _between(low: Version, high: Version | None) -> Iterator[_Bound]:
    yield ">=", low
    if high is not None:
        yield "<", high


def _split(labels: str | None) -> tuple[str, ...]:
    return tuple(labels.split(".")) if labels else ()
