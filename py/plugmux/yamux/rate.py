"""How often a peer may do what costs us work and brings nothing."""

from __future__ import annotations

from .config import Config
from .reader import Violation

__all__ = ["PeerRates", "RateLimit"]

BURST_SECONDS = 10
"""Seconds' worth that may come at once: a program that cancels all its calls is no attack."""
STRAGGLERS = 32
"""Frames that a peer may send on a stream that was reset here, before it knows."""


class RateLimit:
    """Counts events against a number for each second, of which ten seconds' worth may come at once.

    Args:
        rate: events a second; 0 for no limit.
        now: the time, in seconds.
    """

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._burst = self._left = BURST_SECONDS * rate if rate else float("inf")
        self._since = now

    def take(self, now: float) -> bool:
        """Count one event; `False` where it is one too many."""
        self._left -= 1
        if self._left >= 0:
            return True
        self._left += min((now - self._since) * self._rate, self._burst)
        self._since = now
        return self._left >= 0

    def allow(self, events: int) -> None:
        """Let so many events pass that the peer is not to blame for."""
        self._left = min(self._left + events, self._burst)


class PeerRates:
    """Counts what a peer does to no purpose, and ends the session of one that goes on with it.

    Args:
        config: the limits.
        now: the time, in seconds.
    """

    __slots__ = ("_config", "_idle_frames", "_resets")

    def __init__(self, config: Config, now: float) -> None:
        self._config = config
        self._resets = RateLimit(config.max_resets, now)
        self._idle_frames = RateLimit(config.max_idle_frames, now)

    def idle_frame(self, now: float) -> None:
        """Count a frame that does nothing.

        Raises:
            Violation: it is one too many.
        """
        if not self._idle_frames.take(now):
            limit = self._config.max_idle_frames
            raise Violation(f"the peer goes on sending more than {limit} frames a second that do nothing")

    def useless_stream(self, now: float) -> None:
        """Count a stream that the peer has opened for nothing.

        Raises:
            Violation: it is one too many.
        """
        if not self._resets.take(now):
            raise Violation(
                f"the peer goes on opening more than {self._config.max_resets} streams a second that it resets "
                "at once, ends empty, or may not have"
            )

    def reset_here(self) -> None:
        """Excuse what may still come on a stream that was reset here."""
        self._idle_frames.allow(STRAGGLERS)
