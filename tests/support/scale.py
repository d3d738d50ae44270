"""How many plugins, faults and bytes the tests of endurance take: all by `make faults`, and a part in `make test`."""

from __future__ import annotations

import os
from typing import TypeVar

__all__ = ["scaled"]

T = TypeVar("T")


def scaled(all_of_them: T, part: T) -> T:
    """Choose one of two scales of a test, which tells the same of both."""
    return all_of_them if os.environ.get("PLUGMUX_ALL_FAULTS") else part
