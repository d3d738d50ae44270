"""What a user may have meant by a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean"]

CLOSE_ENOUGH = 0.6
"""The share of two names that must agree: that of `difflib`."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message: `; did you mean Get?`, or nothing where no known name is near.

    Args:
        name: what the user wrote.
        known: the names that exist.
    """
    from difflib import get_close_matches  # A command without a mistake needs none.

    by_letters = {each.lower(): each for each in known if each != name}
    near = get_close_matches(name.lower(), sorted(by_letters), n=3, cutoff=CLOSE_ENOUGH)
    return f"; did you mean {' or '.join(by_letters[each] for each in near)}?" if near else ""
