"""Semantic versions and ranges, by the rules of semver."""

from __future__ import annotations

import itertools

import pytest

from plugmux.contract.semver import Range, Version
from plugmux.errors import ConfigError

IN_ORDER = (
    "0.0.0-0 0.0.0 0.9.9 1.0.0-0 1.0.0-2 1.0.0-11 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 "
    "1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1 1.2.0 1.10.0 2.0.0"
).split()


def test_versions_have_the_order_of_semver() -> None:
    versions = [Version.parse(text) for text in IN_ORDER]
    for low, high in itertools.combinations(versions, 2):
        assert low < high
        assert low != high
    assert [str(version) for version in versions] == IN_ORDER


def test_a_leading_v_and_what_stands_behind_a_plus_do_not_count() -> None:
    assert Version.parse("v1.2.3+build.7") == Version.parse("1.2.3")
    assert hash(Version.parse("v1.2.3+build.7")) == hash(Version.parse("1.2.3"))
    assert str(Version.parse("v1.2.3-rc.1+build.7")) == "1.2.3-rc.1+build.7"
    assert Version(1) != "1.0.0"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.2",
        "v",
        "v1.",
        "v1.02",
        "v1-rc",
        "v1.2+build",
        "1.2.3.4",
        "01.2.3",
        "1.2.3-",
        "1.2.3-01",
        "1.2.3-a..b",
        "x",
        "1.2.3 ",
    ],
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a semantic version"):
        Version.parse(text)


@pytest.mark.parametrize(("text", "version"), [("v1", Version(1)), ("v1.2", Version(1, 2)), ("v0", Version(0))])
def test_the_short_forms_of_go_are_versions(text: str, version: Version) -> None:
    assert Version.parse(text) == version


FITS = [
    # range, what it includes, what it does not
    ("", "0.0.0 9.9.9", "1.0.0-rc.1"),
    ("*", "0.0.0 9.9.9", "1.0.0-rc.1"),
    ("1.2.3", "1.2.3 1.2.3+build", "1.2.4 1.2.3-rc.1"),
    ("=v1.2.3", "1.2.3", "1.2.4"),
    ("^1.2", "1.2.0 1.9.9", "1.1.9 2.0.0 2.0.0-rc.1 1.3.0-rc.1"),
    ("^1.2.3", "1.2.3 1.3.0", "1.2.2 2.0.0"),
    ("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2"),
    ("^0.0.3", "0.0.3", "0.0.4 0.0.2"),
    ("^0.0", "0.0.0 0.0.9", "0.1.0"),
    ("^0", "0.0.0 0.9.9", "1.0.0"),
    ("^1.2.3-beta.2", "1.2.3-beta.2 1.2.3-rc.1 1.2.3 1.9.0", "1.2.3-beta.1 1.2.4-beta.3 2.0.0"),
    ("1.2", "1.2.0 1.2.9", "1.3.0 1.3.0-0"),
    ("1", "1.0.0 1.9.9", "2.0.0"),
    ("=1.2", "1.2.0 1.2.9", "1.3.0"),
    (">1.2.9", "1.3.0", "1.2.9 1.3.0-rc.1"),
    (">=1.2", "1.2.0 9.0.0", "1.1.9"),
    ("<=1.2.9", "1.2.9 0.1.0", "1.3.0"),
    ("<1.2", "1.1.9", "1.2.0 1.2.0-rc.1"),
    (">= 1.2 < 3", "1.2.0 2.9.9", "3.0.0 1.1.0"),
    (">1.2.3-rc.1", "1.2.3-rc.2 1.2.3 1.2.4", "1.2.4-rc.1 1.2.3-rc.1"),
    ("^1.2 >=1.4.1", "1.4.1 1.9.0", "1.4.0 2.0.0"),
]


@pytest.mark.parametrize(("text", "included", "excluded"), FITS, ids=[text for text, *_ in FITS])
def test_a_range_includes(text: str, included: str, excluded: str) -> None:
    wanted = Range.parse(text)
    assert [version for version in included.split() if not wanted.includes(Version.parse(version))] == []
    assert [version for version in excluded.split() if wanted.includes(Version.parse(version))] == []
    assert str(wanted) == (text or "*")


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "1.2.3.4",
        "^^1",
        "1.x",
        "~1.2",
        "^1 || ^2",
        "1.2 - 2",
        ">1.2",
        "<=1",
        "1.2-rc",
        ">=",
        "^1.2.3-01",
        "1." * 200,
    ],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="range"):
        Range.parse(text)
