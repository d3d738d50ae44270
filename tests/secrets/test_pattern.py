"""Ids and patterns: the grammar, the four operations, and the time that matching takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugmux.errors import PlugmuxError
from plugmux.secrets.error import InvalidPattern, SecretsError
from plugmux.secrets.pattern import Pattern, SecretId
from support.vectors import shown, table

LONGEST = 4096

VECTORS = table("patterns.json")
IDS = [*VECTORS["ids"], "/".join("a" * (LONGEST // 2))]


@pytest.mark.parametrize("text", IDS, ids=shown)
def test_an_id_is_a_string_and_its_own_pattern(text: str) -> None:
    assert SecretId(text) == text
    assert Pattern(text).is_id
    assert Pattern(text).match(text)


@pytest.mark.parametrize("text", VECTORS["not_ids"], ids=shown)
def test_what_is_no_id_is_refused_and_matched_by_nothing(text: str) -> None:
    with pytest.raises(InvalidPattern, match="is not the id of a secret"):
        SecretId(text)
    assert not Pattern("**").match(text)


@pytest.mark.parametrize("text", [*IDS, *VECTORS["patterns"]], ids=shown)
def test_a_pattern_keeps_its_text(text: str) -> None:
    assert str(Pattern(text)) == text
    assert Pattern(text) == Pattern(text)
    assert repr(Pattern(text)) == f"Pattern({text!r})"


@pytest.mark.parametrize("text", VECTORS["not_patterns"], ids=shown)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(InvalidPattern, match="is not a pattern"):
        Pattern(text)


def test_the_error_is_a_value_error_in_the_tree_and_quotes_no_more_than_it_must() -> None:
    with pytest.raises(ValueError, match="is not a pattern") as caught:
        Pattern("*" * 1_000_000)
    assert isinstance(caught.value, SecretsError)
    assert isinstance(caught.value, PlugmuxError)
    assert len(str(caught.value)) < 400


def test_an_id_that_is_checked_already_is_taken_as_it_is() -> None:
    id = SecretId("a/b")
    assert SecretId(id) is id


def test_of_takes_a_text_or_a_pattern() -> None:
    pattern = Pattern("a/*")
    assert Pattern.of(pattern) is pattern
    assert Pattern.of("a/*") == pattern


@pytest.mark.parametrize(("pattern", "id", "expected"), VECTORS["match"], ids=shown)
def test_match(pattern: str, id: str, expected: bool) -> None:
    assert Pattern(pattern).match(id) is expected


@pytest.mark.parametrize(("pattern", "other", "expected"), VECTORS["includes"], ids=shown)
def test_includes(pattern: str, other: str, expected: bool) -> None:
    assert Pattern(pattern).includes(other) is expected
    assert Pattern(pattern).includes(Pattern(other)) is expected


@pytest.mark.parametrize(("pattern", "other", "expected"), VECTORS["filter"], ids=shown)
def test_filter_gives_the_narrower_one(pattern: str, other: str, expected: str | None) -> None:
    filtered = Pattern(pattern).filter(other)
    assert (filtered and filtered.text) == expected


@pytest.mark.parametrize(
    ("pattern", "other", "expected"),
    [("**", "a/b", "a/b"), ("a/**/b", "x/y", "a/x/y/b"), ("a/**", "*/**", "a/*/**"), ("*/**", "b", "*/b")],
)
def test_expand_replaces_the_double_star(pattern: str, other: str, expected: str) -> None:
    assert Pattern(pattern).expand(other) == Pattern(expected)


@pytest.mark.parametrize("pattern", ["a", "*", "a/*/b", "**/**", "**/a/**"])
def test_expand_needs_exactly_one_double_star(pattern: str) -> None:
    with pytest.raises(InvalidPattern, match="cannot be expanded"):
        Pattern(pattern).expand("a")


def test_expand_keeps_to_the_length_limit() -> None:
    with pytest.raises(InvalidPattern, match="at most 4096 characters"):
        Pattern("a/**").expand("x" * (LONGEST - 1))


def test_matching_the_worst_pattern_takes_few_steps() -> None:
    """What makes a naive matcher try every split of the id: two to the power of a thousand of them."""
    id = "/".join("a" * (LONGEST // 2))
    assert not Pattern("/".join(["**", "a"] * 816 + ["b"])).match(id)
    assert not Pattern("**/" + "a/" * 2000 + "b").match(id)
    assert not Pattern("**/" + "*/" * 2000 + "b").match(id)


def naive_match(pattern: list[str], components: list[str], including: bool) -> bool:
    """The definition, word for word."""
    if not pattern:
        return not components
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        return any(naive_match(rest, components[skip:], including) for skip in range(len(components) + 1))
    if not components:
        return False
    accepted = head in ("*", components[0]) or (including and components[0] == "*")
    return accepted and naive_match(rest, components[1:], including)


ids = st.lists(st.sampled_from("ab"), min_size=1, max_size=7)
patterns = st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=7)


@given(patterns, ids)
def test_match_agrees_with_the_definition(pattern: list[str], id: list[str]) -> None:
    assert Pattern("/".join(pattern)).match("/".join(id)) == naive_match(pattern, id, including=False)


@given(patterns, patterns)
def test_includes_agrees_with_the_definition(pattern: list[str], other: list[str]) -> None:
    assert Pattern("/".join(pattern)).includes("/".join(other)) == naive_match(pattern, other, including=True)


@given(patterns, ids)
def test_an_id_is_included_exactly_when_it_is_matched(pattern: list[str], id: list[str]) -> None:
    assert Pattern("/".join(pattern)).includes("/".join(id)) == Pattern("/".join(pattern)).match("/".join(id))
