"""A circuit breaker: it keeps calls from a plugin that fails every one of them, and tries it again now and then.

    closed ── failures in a row ──> open ── after a while ──> half open ── success ──> closed
                                      ^────────── failure ────────┘

One input that a healthy plugin fails on, sent again and again, must not keep all other calls from the plugin. So an
open breaker remembers which calls have failed. It refuses those; it refuses all calls only once as many different ones
have failed in a row as it takes to open it. Any answer closes it: the plugin then needs no breaker until another call
fails, and no call is remembered, or hashed, for one.

Without I/O and without a clock of its own: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum

from ...bounds import check_numbers

__all__ = ["Breaker", "BreakerPolicy", "Circuit"]


class Circuit(Enum):
    """What a breaker lets through."""

    CLOSED = "closed"
    """Every call."""
    OPEN = "open"
    """None."""
    HALF_OPEN = "half open"
    """One call, whose outcome decides; another where it takes long."""


NO_TRIAL = float("-inf")
CLOSED, OPEN, HALF_OPEN = Circuit  # by names of their own, which Python 3.11 finds faster


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    Args:
        failures: calls that fail in a row before it opens, and different ones before it refuses every call; 0 never
            opens it.
        open_time: seconds for which it stays open.
    """

    failures: int = 10
    open_time: float = 5.0

    def __post_init__(self) -> None:
        check_numbers(self)


class Breaker:
    """The breaker of one plugin.

    A call is known to it by its `identity`: two calls that are alike have the same.

    Attributes:
        circuit: what it lets through.
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._failed: set[Hashable] = set()
        self._opened_at = 0.0
        self._trial_ends = NO_TRIAL
        self.circuit = CLOSED

    def admits(self, now: float, identity: Hashable = None) -> bool:
        """Whether a call may go through at this time; it does not count as one yet."""
        if self.circuit is CLOSED:
            return True
        if self.circuit is OPEN and now - self._opened_at >= self._policy.open_time:
            self.circuit = HALF_OPEN
            self._trial_ends = NO_TRIAL
        if self.circuit is HALF_OPEN and now >= self._trial_ends:
            return True
        return len(self._failed) < self._policy.failures and identity not in self._failed

    def begin(self, now: float) -> None:
        """Note that a call goes through at this time. It keeps others out no longer than an open circuit does."""
        if self.circuit is HALF_OPEN:
            self._trial_ends = now + self._policy.open_time

    def failed(self, now: float, identity: Hashable = None) -> None:
        """Note that a call was not answered."""
        self._failures += 1
        if len(self._failed) < self._policy.failures:
            self._failed.add(identity)
        enough = self._policy.failures and self._failures >= self._policy.failures
        if self.circuit is HALF_OPEN or (enough and self.circuit is CLOSED):
            self.circuit = OPEN
            self._opened_at = now

    def abandoned(self) -> None:
        """Note that a call has ended in a way that says nothing of the plugin."""
        self._trial_ends = NO_TRIAL
