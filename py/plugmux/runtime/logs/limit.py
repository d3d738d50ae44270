"""How many lines of a plugin are kept in a second; the rest are counted. (Without I/O and without a clock.)"""

from __future__ import annotations

__all__ = ["LineLimit"]

LINES_PER_SECOND = 1000
BURST = 5000
"""Lines that may come at once: the stacks of a crash are as many."""


class LineLimit:
    """A bucket of lines, which fills as time passes.

    Args:
        rate: lines a second.
        burst: lines that may come at once, after a rest.
    """

    __slots__ = ("_burst", "_left", "_seen", "rate")

    def __init__(self, rate: int = LINES_PER_SECOND, burst: int = BURST) -> None:
        self.rate = rate
        self._burst = self._left = float(burst)
        self._seen: float | None = None

    def take(self, now: float) -> bool:
        """Whether one more line may be kept at this time, in seconds."""
        if self._seen is not None:
            self._left = min(self._left + (now - self._seen) * self.rate, self._burst)
        self._seen = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
