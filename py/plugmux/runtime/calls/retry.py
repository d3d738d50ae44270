"""When a call that failed may be made again. (Without I/O.)

Only two kinds of failure allow it: the plugin cannot have seen the request, or the method is declared to have no side
effects or to be idempotent.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ...bounds import check_numbers
from ...errors import ConfigError

__all__ = ["RetryPolicy"]

MAX_DOUBLINGS = 1000
"""More would be beyond what a float holds; no delay is that long."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is made at most, and how long to wait in between.

    Args:
        attempts: calls at most, the first included; 1 never retries.
        delay: seconds before the first retry at most; it doubles with every further one.
        longest_delay: seconds that a delay grows to at most.
        budget: retries that may be saved up.
        earned: what every call adds to the budget.
        idempotent: whether calls may be repeated though the proto does not say so (`idempotency_level`).
    """

    attempts: int = 3
    delay: float = 0.01
    longest_delay: float = 1.0
    budget: float = 20.0
    earned: float = 0.2
    idempotent: bool = False

    def __post_init__(self) -> None:
        check_numbers(self, {"attempts": 1})
        if self.longest_delay < self.delay:
            raise ConfigError(f"{self} is not valid: longest_delay is below delay")

    def delay_before(self, attempt: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait before an attempt: chance takes up to a half off, so that callers that failed together part.

        Args:
            attempt: the number of the attempt; the first retry is 2.
            chance: gives a number from 0 up to 1.
        """
        longest = min(self.delay * 2.0 ** min(attempt - 2, MAX_DOUBLINGS), self.longest_delay)
        return longest * (1 - chance() / 2)
