"""How far the receive windows grow.

A sender that has used its whole window waits one round trip for credit, so a stream moves at most one window per round
trip. Credit is returned each time half the window has been read; when the halves follow one another faster than two
round trips, it is the window that limits the stream, and it is doubled. A reader that does not keep up never gets more
than it started with. What all windows of a session have grown by is kept below one bound.
"""

from __future__ import annotations

from .config import Config

__all__ = ["WindowGrowth"]


class WindowGrowth:
    """Decides the sizes of a session's receive windows.

    Attributes:
        rtt: the shortest round trip measured, in seconds; `None` until there is one, and windows stay as they are.
    """

    __slots__ = ("_left", "_maximum", "rtt")

    def __init__(self, config: Config) -> None:
        self.rtt: float | None = None
        self._maximum = config.max_stream_window_size
        self._left = config.max_session_window_growth

    def may_grow(self, size: int) -> bool:
        """Whether a window of `size` bytes is below its bounds."""
        return size < self._maximum and self._left > 0

    def measured(self, rtt: float) -> None:
        """Take note of a round trip of `rtt` seconds."""
        if self.rtt is None or rtt < self.rtt:
            self.rtt = rtt

    def next_size(self, size: int, elapsed: float) -> int:
        """The size to go on with, for a window of which half was read within `elapsed` seconds."""
        if self.rtt is None or elapsed >= 2 * self.rtt:
            return size
        return self.take(size, 2 * size)

    def take(self, size: int, wanted: int) -> int:
        """Grow from `size` towards `wanted` bytes, as far as the bounds allow."""
        growth = min(wanted, self._maximum, size + self._left) - size
        if growth <= 0:
            return size
        self._left -= growth
        return size + growth

    def give_back(self, growth: int) -> None:
        """Return the growth of a window whose stream has ended."""
        self._left += growth
