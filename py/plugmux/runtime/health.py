"""How a plugin does while it runs: what a check can find, and when one is made. (Without I/O.)"""

from __future__ import annotations

from enum import Enum

__all__ = ["Health"]


class Health(Enum):
    """How a plugin does."""

    UNKNOWN = "unknown"
    """It does not run."""
    SERVING = "serving"
    """It answers, and says that it is ready; or it has just registered."""
    NOT_SERVING = "not serving"
    """It answers, and says that it is not ready."""
    BUSY = "busy"
    """It does not answer in time. Slow is not dead."""
    HANGING = "hanging"
    """Nothing has come from it for long, though it was asked."""
