"""Checking the numbers of settings, so that one that cannot be is refused where it is written."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from .errors import ConfigError

__all__ = ["check_numbers"]


def check_numbers(
    settings: Any, least: Mapping[str, float] | None = None, *, above_zero: Collection[str] = (), finite: bool = False
) -> None:
    """Check every field of a dataclass that is declared as a number: none may be below 0, or NaN.

    Args:
        settings: the instance. Fields declared as `int` take whole numbers, those as `int | None` nothing as well.
        least: what a field must be at least, where that is not 0.
        above_zero: fields that must be above 0.
        finite: whether infinity is refused, too.

    Raises:
        ConfigError: a number is out of its range, or is none.
    """
    for field in fields(settings):
        kind, _, optional = str(field.type).partition(" | ")
        if kind not in ("int", "float"):
            continue
        value = getattr(settings, field.name)
        if value is None and optional == "None":
            continue
        lowest = (least or {}).get(field.name, 0)
        fits = isinstance(value, int if kind == "int" else int | float) and (
            value > 0 if field.name in above_zero else value >= lowest
        )
        if not fits or (finite and value == math.inf):
            wanted = "a whole number" if kind == "int" else "a finite number" if finite else "a number"
            bound = "above 0" if field.name in above_zero else f"from {lowest}"
            raise ConfigError(f"{type(settings).__name__}.{field.name} is {value!r}; it must be {wanted} {bound}")
