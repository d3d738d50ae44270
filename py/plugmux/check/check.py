"""A check: one statement about a plugin, why it matters, and the function that finds out whether it holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from .subject import Subject

__all__ = ["Check", "Group", "Test"]

Test: TypeAlias = Callable[[Subject], Awaitable[None]]
"""Finds out whether the statement of a check holds; raises `Failed` or `NotApplicable` where it does not."""


@dataclass(frozen=True, slots=True)
class Check:
    """One statement about a plugin.

    Args:
        id: the group's name, a dot, and its own.
        statement: what holds of a plugin that passes, in one sentence.
        why: what goes wrong with a plugin that does not pass.
        required: whether the wire demands it; else it is recommended.
        test: finds out.
    """

    id: str
    statement: str
    why: str
    required: bool
    test: Test

    @property
    def anchor(self) -> str:
        """Where it stands on the page of the checks."""
        return self.id.replace(".", "-")


@dataclass(frozen=True, slots=True)
class Group:
    """Checks of one subject.

    Args:
        name: in one word.
        title: what they are about, in one sentence.
        checks: filled by `add`.
    """

    name: str
    title: str
    checks: list[Check] = field(default_factory=list)

    def add(self, name: str, statement: str, why: str, *, required: bool) -> Callable[[Test], Test]:
        """Make the function that follows a check of the group; the arguments are those of `Check`."""

        def register(test: Test) -> Test:
            self.checks.append(Check(f"{self.name}.{name}", statement, why, required, test))
            return test

        return register
