"""A circuit breaker: it keeps calls from a plugin that fails every one of them, and tries it again now and then.

    closed ── failures in a row ──> open ── after a while ──> half open ── success ──> closed
                                      ^────────── failure ────────┘

Without I/O and without a clock of its own: the time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ...errors import ConfigError

__all__ = ["Breaker", "BreakerPolicy", "Circuit"]


class Circuit(Enum):
    """What a breaker lets through."""

    CLOSED = "closed"
    """Every call."""
    OPEN = "open"
    """None."""
    HALF_OPEN = "half open"
    """One call, whose outcome decides."""


CLOSED, OPEN, HALF_OPEN = Circuit  # by names of their own, which Python 3.11 finds faster


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    Args:
        failures: calls that fail in a row before it opens; 0 never opens it.
        open_time: seconds for which it stays open.
    """

    failures: int = 10
    open_time: float = 5.0

    def __post_init__(self) -> None:
        if self.failures < 0 or self.open_time < 0:
            raise ConfigError(f"{self} is not valid: failures and open_time are 0 or more")


class Breaker:
    """The breaker of one plugin."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._opened_at = 0.0
        self._trial = False
        self.circuit = CLOSED

    def admits(self, now: float) -> bool:
        """Whether a call may go through at this time; it does not count as one yet."""
        if self.circuit is CLOSED:
            return True
        if self.circuit is OPEN and now - self._opened_at >= self._policy.open_time:
            self.circuit = HALF_OPEN
            self._trial = False
        return self.circuit is HALF_OPEN and not self._trial

    def begin(self) -> None:
        """Note that a call goes through."""
        if self.circuit is HALF_OPEN:
            self._trial = True

    def succeeded(self) -> None:
        """Note that a call was answered, whatever the answer."""
        self._failures = 0
        self.circuit = CLOSED

    def failed(self, now: float) -> None:
        """Note that a call was not answered."""
        self._failures += 1
        enough = self._policy.failures and self._failures >= self._policy.failures
        if self.circuit is HALF_OPEN or (enough and self.circuit is CLOSED):
            self.circuit = OPEN
            self._opened_at = now

    def abandoned(self) -> None:
        """Note that the caller of a call gave up, which says nothing of the plugin."""
        self._trial = False

    def reset(self) -> None:
        """Begin anew, as for a plugin that has just been started."""
        self._failures = 0
        self.circuit = CLOSED
