"""The tree of this process: whoever has started it holds the job that the tree is in, and ends it."""

from __future__ import annotations

import os
from typing import Never

__all__ = ["end_children", "kill_own_tree"]


def end_children() -> None:
    """Nothing: when this process has ended, the runtime ends what is left in its job."""


def kill_own_tree() -> Never:
    """End this process at once; what it has started ends with its job. Any thread may call it."""
    os._exit(1)
