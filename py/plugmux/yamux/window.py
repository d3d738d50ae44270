"""How far the receive windows grow.

A sender that has used its whole window waits one round trip for credit, so a stream moves at most one window per round
trip. Credit is returned each time half the window has been read; when the halves follow one another faster than two
round trips, it is the window that limits the stream, and it is doubled. A reader that does not keep up never gets more
than it started with. What all windows of a session have grown by is kept below one bound.
"""

from __future__ import annotations

from .config import Config
from .frame import INITIAL_WINDOW
from .state import Stream

__all__ = ["WindowGrowth"]


class WindowGrowth:
    """Decides the sizes of a session's receive windows.

    Attributes:
        rtt: the shortest round trip measured, in seconds; `None` until there is one, and windows stay as they are.
    """

    __slots__ = ("_initial", "_left", "_maximum", "rtt")

    def __init__(self, config: Config) -> None:
        self.rtt: float | None = None
        self._initial = config.stream_window_size
        self._maximum = config.max_stream_window_size
        self._left = config.max_session_window_growth

    def measured(self, rtt: float) -> None:
        """Take note of a round trip of `rtt` seconds."""
        if self.rtt is None or rtt < self.rtt:
            self.rtt = rtt

    def wants_round_trip(self, stream: Stream) -> bool:
        """Whether a stream's window could grow if the round trip were known."""
        return self.rtt is None and stream.window < self._maximum and self._left > 0

    def begin(self, stream: Stream) -> None:
        """Start a stream with the window that is configured; what it has above the wire's is credit to be told."""
        if self._initial > INITIAL_WINDOW:
            self._widen(stream, self._initial)

    def refill(self, stream: Stream, now: float, *, grow: bool = True) -> None:
        """Note that half a stream's window has been read and is credited now, and widen it if that went fast."""
        if grow and self.rtt is not None and now - stream.credited_at < 2 * self.rtt:
            self._widen(stream, 2 * stream.window)
        stream.credited_at = now

    def end(self, stream: Stream) -> None:
        """Take back what the window of a stream has grown by."""
        self._left += stream.window - INITIAL_WINDOW

    def _widen(self, stream: Stream, wanted: int) -> None:
        size = min(wanted, self._maximum, stream.window + self._left)
        growth = max(size - stream.window, 0)
        self._left -= growth
        stream.window += growth
        stream.consumed += growth
