"""Prometheus' text format: families of samples, written as a scraper reads them.

The format is version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/). Nothing is kept here: a
family is made for one scrape. Label values come from plugins and callers, so they are escaped and of bounded length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["CONTENT_TYPE", "Family", "Labels", "exposition"]

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

MAX_LABEL = 256
"""Characters of a label's value; the rest is left out."""

Labels: TypeAlias = tuple[tuple[str, str], ...]
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(slots=True)
class Family:
    """All samples of one metric.

    Args:
        name: the metric's name, with its unit; that of a counter ends in `_total`.
        kind: what it is.
        help: what it tells, in one line.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    lines: list[str] = field(default_factory=list)

    def add(self, labels: Labels, value: float) -> None:
        """Add a sample."""
        self._add("", labels, value)

    def add_histogram(self, labels: Labels, bounds: Sequence[float], counts: Sequence[int], total: float) -> None:
        """Add a histogram.

        Args:
            labels: of all its samples.
            bounds: the upper bounds of the buckets, ascending, without the infinite one.
            counts: how many observations each bucket has, and the infinite one, each for itself.
            total: the sum of all observations.
        """
        below = 0
        for bound, count in zip((*map(_number, bounds), "+Inf"), counts, strict=True):
            below += count
            self._add("_bucket", (*labels, ("le", bound)), below)
        self._add("_sum", labels, total)
        self._add("_count", labels, below)

    def _add(self, suffix: str, labels: Labels, value: float) -> None:
        told = ",".join(f'{name}="{text[:MAX_LABEL].translate(_ESCAPED)}"' for name, text in labels)
        self.lines.append(f"{self.name}{suffix}{{{told}}} {_number(value)}")


def exposition(families: Iterable[Family]) -> bytes:
    """The text of a scrape; families without samples are left out."""
    text = "".join(
        f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n" + "\n".join(family.lines) + "\n"
        for family in families
        if family.lines
    )
    return text.encode("utf-8", "replace")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
