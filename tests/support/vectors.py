"""The test vectors that the SDKs of all languages share (tests/vectors/)."""

from __future__ import annotations

import json
from typing import Any

from support.tools import ROOT

__all__ = ["shown", "table"]


def table(name: str) -> dict[str, Any]:
    """The cases of one file, with each repetition spelled out."""
    read: dict[str, Any] = json.loads((ROOT / "tests/vectors" / name).read_text(), object_hook=_spelled_out)
    return read


def _spelled_out(value: dict[str, Any]) -> Any:
    if "repeat" not in value:
        return value
    repeated = value["repeat"] * value["count"]
    return value["prefix"] + repeated if "prefix" in value else repeated


def shown(value: Any) -> str:
    """A short id of a case."""
    return ascii(value)[:60]
