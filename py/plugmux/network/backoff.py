"""How long to wait before the next try: longer each time, and not as long as everybody else."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Backoff"]

FIRST = 0.2
LONGEST = 30.0
SERVED = 10.0
"""Seconds that a link must have served for the next wait to be the first again."""


class Backoff:
    """Delays that double, each multiplied by a random factor from 0.5 to 1.

    Args:
        first: seconds of the first delay.
        longest: seconds of the longest.
        chance: gives numbers from 0 up to 1.

    Attributes:
        tries: how many delays have been taken in a row.
    """

    def __init__(
        self, first: float = FIRST, longest: float = LONGEST, chance: Callable[[], float] = random.random
    ) -> None:
        self._first = first
        self._longest = longest
        self._chance = chance
        self.tries = 0

    def next(self) -> float:
        """Seconds to wait now."""
        delay = min(self._first * 2.0 ** min(self.tries, 60), self._longest)
        self.tries += 1
        return delay * (0.5 + self._chance() / 2)

    def served(self, seconds: float) -> None:
        """Note how long a link has served: one that did for a while begins anew."""
        if seconds >= SERVED:
            self.tries = 0
