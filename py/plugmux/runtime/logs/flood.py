"""Warnings that others can cause as often as they like: the first is logged, and then how many more there were."""

from __future__ import annotations

import asyncio
import logging

__all__ = ["FloodLog"]

INTERVAL = 10.0
"""Seconds between two lines about the same."""


class FloodLog:
    """Logs what happens again and again without a line for each time.

    Args:
        logger: takes the lines, as warnings.
        interval: seconds between two lines of one kind.
    """

    def __init__(self, logger: logging.Logger, interval: float = INTERVAL) -> None:
        self._logger = logger
        self._interval = interval
        self._more: dict[str, int] = {}
        self._last: dict[str, str] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def warn(self, kind: str, message: str) -> None:
        """Log a warning, or count it if one of its kind was logged just now.

        Args:
            kind: one of a few words of the caller's own.
            message: the line.
        """
        if kind in self._timers:
            self._more[kind] += 1
            self._last[kind] = message
            return
        self._logger.warning("%s", message)
        self._begin(kind)

    def close(self) -> None:
        """Log what has been counted, and stop the timers."""
        for kind, timer in self._timers.items():
            timer.cancel()
            self._tell(kind)
        self._timers.clear()

    def _begin(self, kind: str) -> None:
        self._more[kind] = 0
        self._timers[kind] = asyncio.get_running_loop().call_later(self._interval, self._look, kind)

    def _look(self, kind: str) -> None:
        del self._timers[kind]
        if self._tell(kind):
            self._begin(kind)

    def _tell(self, kind: str) -> bool:
        if not self._more[kind]:
            return False
        self._logger.warning("%s (the last of %d more like it)", self._last[kind], self._more[kind])
        self._more[kind] = 0
        return True
