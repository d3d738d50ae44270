"""The results as text: one table of what was measured, one of how it stands with the goals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from goals import Goal

__all__ = ["Rows", "goals_table", "rows_table", "standing"]

Rows: TypeAlias = dict[tuple[str, str], dict[str, float]]
"""Figures, by work and system."""

COLUMNS = ("p50_us", "p99_us", "per_s", "mib_per_s", "mib")


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


def standing(rows: Rows, goal: Goal) -> tuple[float, bool] | None:
    """What a goal bounds, and whether it is met; `None` when it was not measured."""
    try:
        value = _figure(rows, goal.ours)
        match goal.by:
            case "ratio":
                value /= _figure(rows, goal.theirs)
            case "difference":
                value -= _figure(rows, goal.theirs)
    except KeyError:
        return None
    return value, value <= goal.bound if goal.sign == "<=" else value >= goal.bound


def _figure(rows: Rows, words: str) -> float:
    work, system, figure = words.split()
    return rows[work, system][figure]


def goals_table(rows: Rows, goals: Iterable[Goal]) -> str:
    """How every goal that was measured stands."""
    lines = [("goal", "bound", "measured", "")]
    for goal in goals:
        if (stands := standing(rows, goal)) is not None:
            value, met = stands
            lines.append((goal.what, f"{goal.sign} {goal.bound:g}", f"{value:.2f}", "" if met else "missed"))
    return _markdown(lines)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    shown.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in shown)
