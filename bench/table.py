"""The results as text: one table of what was measured, one of how it stands with the goals."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from goals import Goal

__all__ = ["Rows", "Standing", "goals_table", "medians", "rows_table", "standing"]

Rows: TypeAlias = dict[tuple[str, str], dict[str, float]]
"""Figures, by work and system."""

COLUMNS = ("p50_us", "p99_us", "per_s", "mib_per_s", "mib", "cpu_us", "slope_ns")


def medians(rounds: Sequence[Rows]) -> Rows:
    """The median of every figure over the rounds in which it was measured."""
    taken: dict[tuple[str, str], list[dict[str, float]]] = {}
    for rows in rounds:
        for key, figures in rows.items():
            taken.setdefault(key, []).append(figures)
    return {
        key: {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}
        for key, rows in taken.items()
    }


def rows_table(rows: Rows) -> str:
    """Every row, with the ratio of its main figure to that of plugmux: above 1, the other is slower or larger."""
    lines: list[tuple[str, ...]] = [("work", "system", *COLUMNS, "to plugmux")]
    for (work, system), figures in rows.items():
        shown = [f"{figures[column]:,.1f}" if column in figures else "" for column in COLUMNS]
        lines.append((work, system, *shown, _to_plugmux(rows, work, figures)))
    return _markdown(lines)


def _to_plugmux(rows: Rows, work: str, figures: dict[str, float]) -> str:
    ours = rows.get((work, "plugmux"), {})
    if "p50_us" in ours and "p50_us" in figures and work != "unary-16":
        return f"{figures['p50_us'] / ours['p50_us']:.2f}"
    if "per_s" in ours and "per_s" in figures:
        return f"{ours['per_s'] / figures['per_s']:.2f}"
    return ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with a goal.

    Args:
        value: what the goal bounds: the median over the rounds.
        least, most: the same in the rounds where it was smallest and largest.
        met: whether the median keeps to the bound.
    """

    value: float
    least: float
    most: float
    met: bool


def standing(rounds: Sequence[Rows], goal: Goal) -> Standing | None:
    """How it stands with a goal; `None` when it was not measured.

    What is compared was measured one after the other in each round, while the machine was in one mood: so each round
    gives a value, and their median counts.
    """
    values = [value for rows in rounds if (value := _value(rows, goal)) is not None]
    if not values:
        return None
    value = statistics.median(values)
    met = value <= goal.bound if goal.sign == "<=" else value >= goal.bound
    return Standing(value, min(values), max(values), met)


def _value(rows: Rows, goal: Goal) -> float | None:
    try:
        value = _figure(rows, goal.ours)
        match goal.by:
            case "ratio":
                value /= _figure(rows, goal.theirs)
            case "difference":
                value -= _figure(rows, goal.theirs)
    except KeyError:
        return None
    return value


def _figure(rows: Rows, words: str) -> float:
    work, system, figure = words.split()
    return rows[work, system][figure]


def goals_table(rounds: Sequence[Rows], goals: Iterable[Goal]) -> str:
    """How it stands with every goal that was measured."""
    lines = [("goal", "bound", "median", "", "least", "most")]
    for goal in goals:
        if (at := standing(rounds, goal)) is not None:
            met = "met" if at.met else "missed"
            bound = f"{goal.sign} {goal.bound:g}"
            lines.append((goal.what, bound, f"{at.value:.2f}", met, f"{at.least:.2f}", f"{at.most:.2f}"))
    return _markdown(lines)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    shown.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in shown)
