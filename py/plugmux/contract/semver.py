"""Semantic versions and ranges of them: `Range.parse("^1.2").includes(Version.parse("v1.4.0"))`.

    range       = "*" | comparator (" " comparator)*    all comparators must hold
    comparator  = ("^" | ">=" | ">" | "<=" | "<" | "=")? version
    version     = a version of which patch, or minor and patch, may be missing

`^` includes all compatible versions: those below the next major version, or below the next number that is not 0 where
major is 0. A version without an operator includes all versions that begin with it. A prerelease is included only if the
range names a prerelease of the same major.minor.patch: `^1.2` does not include 1.3.0-rc.1. (semver.org 2.0.0; the
operators are those of npm.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import total_ordering
from typing import TypeAlias

from ..errors import ConfigError

__all__ = ["Range", "Version"]

MAX_LENGTH = 256
"""The most characters of a range or a version."""

_NUMBER = r"(?:0|[1-9][0-9]*)"
_LABELS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_PRERELEASE_LABEL = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_TAIL = rf"(?:-(?P<pre>{_PRERELEASE_LABEL}(?:\.{_PRERELEASE_LABEL})*))?(?:\+(?P<build>{_LABELS}))?"
_VERSION = rf"v?(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER}){_TAIL}"
_SHORT_VERSION = rf"v(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER}))?"
_COMPARATOR = (
    rf"(?P<operator>\^|>=|>|<=|<|=|)v?(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER})(?:\.(?P<patch>{_NUMBER}){_TAIL})?)?"
)
_SPACE_BEHIND_OPERATOR = r"(\^|[<>]=?|=)\s+"
# These are compiled when they are first used: a plugin that names its version needs one of them, and starts sooner.


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One version; versions are ordered as semver defines, which ignores the build.

    Args:
        major: is raised by incompatible changes.
        minor: is raised by compatible additions.
        patch: is raised by corrections.
        prerelease: the identifiers after a "-".
        build: the text after a "+".
    """

    major: int
    minor: int = 0
    patch: int = 0
    prerelease: tuple[str, ...] = ()
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> Version:
        """Parse a version: `1.2.3` or `v1.2.3`. After a "v", patch and minor may be missing: `v1.2`, `v1`.

        These are the valid versions of Go's `x/mod/semver`, and those of semver.org, which have no "v".

        Raises:
            ConfigError: the text is not a version.
        """
        if len(text) <= MAX_LENGTH:
            if match := re.fullmatch(_VERSION, text, re.ASCII):
                major, minor, patch = map(int, match.group("major", "minor", "patch"))
                return cls(major, minor, patch, _split(match["pre"]), match["build"] or "")
            if match := re.fullmatch(_SHORT_VERSION, text, re.ASCII):
                return cls(int(match["major"]), int(match["minor"] or 0))
        raise ConfigError(f'{text[:140]!r} is not a semantic version: write it as "1.2.3", or "1.2.3-rc.1"')

    @property
    def triple(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        return self.major, self.minor, self.patch

    def _key(self) -> tuple[tuple[int, int, int], bool, list[tuple[int, int, str]]]:
        # A release is higher than its prereleases; a numeric identifier is lower than any other.
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
    """A range of versions.

    Args:
        text: the range as it was written.
        bounds: the comparisons that a version in the range must satisfy.
    """

    text: str
    bounds: tuple[_Bound, ...]

    @classmethod
    def parse(cls, text: str) -> Range:
        """Parse a range, such as `^1.2`, `1.2` or `>=1.2 <3`; `*` and an empty text include every version.

        Raises:
            ConfigError: the text is not a range.
        """
        if len(text) > MAX_LENGTH:
            raise ConfigError(f"the range of versions {text[:40]!r}... has over {MAX_LENGTH} characters")
        words = [] if text.strip() == "*" else re.sub(_SPACE_BEHIND_OPERATOR, r"\1", text).split()
        try:
            return cls(text, tuple(bound for word in words for bound in _bounds(word)))
        except ConfigError as error:
            raise ConfigError(
                f'{text!r} is not a range of versions: {error}; write it as "^1.2" or ">=1.2 <3"'
            ) from None

    def includes(self, version: Version) -> bool:
        """Whether a version is in the range."""
        if not all(_holds(version, operator, bound) for operator, bound in self.bounds):
            return False
        named = any(bound.prerelease and bound.triple == version.triple for _, bound in self.bounds)
        return named or not version.prerelease

    def __str__(self) -> str:
        return self.text or "*"


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


LOWEST = ("0",)
"""The lowest prerelease of a version."""


def _bounds(word: str) -> Iterator[_Bound]:
    """The bounds of one comparator."""
    match = re.fullmatch(_COMPARATOR, word, re.ASCII)
    if match is None:
        raise ConfigError(f"{word!r} cannot be read")
    given = [int(part) for part in match.group("major", "minor", "patch") if part is not None]
    version = _filled(given, _split(match["pre"]))
    partial = len(given) < 3
    match match["operator"]:
        case "^":
            counts = next((place for place, number in enumerate(given) if number), len(given) - 1)
            yield ">=", version
            yield "<", _next(given, counts)
        case "" | "=" if partial:
            yield ">=", version
            yield "<", _next(given, len(given) - 1)
        case ">" | "<=" if partial:
            raise ConfigError(f"{word!r} needs all three numbers")
        case "<" if partial:
            yield "<", _filled(given, LOWEST)
        case operator:
            yield operator or "=", version


def _next(given: list[int], place: int) -> Version:
    """The lowest version, prereleases included, whose number at a place is one higher."""
    return _filled([*given[:place], given[place] + 1], LOWEST)


def _filled(given: list[int], prerelease: tuple[str, ...]) -> Version:
    major, minor, patch, *_ = [*given, 0, 0]
    return Version(major, minor, patch, prerelease)


def _split(labels: str | None) -> tuple[str, ...]:
    return tuple(labels.split(".")) if labels else ()
