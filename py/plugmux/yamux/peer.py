"""What a session knows of its peer: the stream ids it has used, its streams, its pointless frames, its round trips.

Ids rise, but peers that open streams from several threads put their SYNs out in another order than their ids
(hashicorp/yamux does), so an id may come a little late. Ids that were passed over are remembered, within a bound; any
other id up to the highest has been used and cannot come again.
"""

from __future__ import annotations

from typing import Final

from .config import Config
from .flow import STREAM_COST, LinkMemory
from .frame import DATA, INITIAL_WINDOW, MAX_STREAM_ID, Violation, describe

__all__ = ["MAX_LATE", "PeerIds", "PeerRates", "PeerStreams", "Pings", "RateLimit"]

MAX_LATE: Final = 1024
"""How many ids that were passed over are remembered; peers have their backlog's worth of SYNs under way, 256."""
BURST_SECONDS = 10
"""Seconds' worth of events that may come at once: a program that cancels all its calls is no attack."""
LATE_FRAMES = 32
"""Frames that a peer may send on a stream that was reset here, before it knows."""


class PeerIds:
    """The ids of one parity, and which of them have been used.

    Args:
        first: the first id, 1 or 2.

    Attributes:
        next: the id behind the highest that has been used.
    """

    __slots__ = ("_late", "_parity", "next")

    def __init__(self, first: int) -> None:
        self._parity = first % 2
        self._late: dict[int, None] = {}
        self.next = first

    def owns(self, stream_id: int) -> bool:
        """Whether an id is one of these at all."""
        return stream_id % 2 == self._parity and 0 < stream_id <= MAX_STREAM_ID

    def used(self, stream_id: int) -> bool:
        """Whether an id has been used."""
        return stream_id < self.next and stream_id not in self._late

    def use(self, stream_id: int) -> None:
        """Note that an id is used now."""
        if stream_id < self.next:
            del self._late[stream_id]
            return
        if stream_id > self.next:
            self._pass_over(range(max(self.next, stream_id - 2 * MAX_LATE), stream_id, 2))
        self.next = stream_id + 2

    def _pass_over(self, ids: range) -> None:
        self._late.update(dict.fromkeys(ids))
        while len(self._late) > MAX_LATE:
            del self._late[next(iter(self._late))]


class PeerStreams:
    """The streams of the peer: which ids it may use, and how many streams it may have.

    Args:
        first_id: the first id of the peer's, 1 or 2.
        config: the limits.
        memory: counts `STREAM_COST` for each stream.

    Attributes:
        ids: the peer's ids, and which it has used.
        parity: what is left of each of them by 2.
        limit: streams that it may have open at once.
        count: streams that it has open.
        unaccepted: streams among them that have not been accepted.
    """

    __slots__ = ("_backlog", "_memory", "count", "ids", "limit", "parity", "unaccepted")

    def __init__(self, first_id: int, config: Config, memory: LinkMemory) -> None:
        self.ids = PeerIds(first_id)
        self.parity = first_id % 2
        self.limit = config.max_streams
        self.count = 0
        self.unaccepted = 0
        self._backlog = config.accept_backlog
        self._memory = memory

    def use_id(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        """Record a frame that opens a stream.

        Raises:
            Violation: its id cannot be used, or the frame is longer than the window of a new stream.
        """
        ids = self.ids
        if stream_id != ids.next:
            if not ids.owns(stream_id):
                raise Violation(f"{describe(kind, flags, stream_id, length)}: the id is not one of the peer's")
            if ids.used(stream_id):
                raise Violation(f"{describe(kind, flags, stream_id, length)}: the id has been used before")
        ids.use(stream_id)
        if kind == DATA and length > INITIAL_WINDOW:
            raise Violation(f"{describe(kind, flags, stream_id, length)}: a new window has {INITIAL_WINDOW} bytes")

    def admit(self) -> bool:
        """Count one more stream and its `STREAM_COST`; `False` if the peer may not have it."""
        if self.unaccepted >= self._backlog or self.count >= self.limit:
            return False
        if not self._memory.add(STREAM_COST):
            self._memory.remove(STREAM_COST)
            return False
        self.count += 1
        self.unaccepted += 1
        return True


class RateLimit:
    """Limits events to a number a second; ten seconds' worth may come at once.

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
        """Count one event; `False` if it is one too many."""
        self._left -= 1
        if self._left >= 0:
            return True
        self._left += min((now - self._since) * self._rate, self._burst)
        self._since = now
        return self._left >= 0

    def allow(self, events: int) -> None:
        """Let so many more events pass, which are no fault of the peer."""
        self._left = min(self._left + events, self._burst)


class PeerRates:
    """Counts what a peer does to no purpose, and ends the session of a peer that does not stop.

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
        """Count a stream that the peer has opened to no purpose.

        Raises:
            Violation: it is one too many.
        """
        if not self._resets.take(now):
            raise Violation(
                f"the peer goes on opening more than {self._config.max_resets} streams a second that it resets "
                "at once, ends empty, or may not have"
            )

    def reset_here(self) -> None:
        """Allow the frames that may still be under way on a stream that was reset here."""
        self._idle_frames.allow(LATE_FRAMES)


class Pings:
    """Numbers pings and measures the time to their answers."""

    __slots__ = ("_next_id", "_sent")

    def __init__(self) -> None:
        self._next_id = 0
        self._sent: dict[int, float] = {}

    def begin(self, now: float) -> int:
        """Give the id of a new ping."""
        ping_id = self._next_id
        self._next_id = (ping_id + 1) & 0xFFFFFFFF
        self._sent[ping_id] = now
        return ping_id

    def end(self, ping_id: int, now: float) -> float | None:
        """Give the round trip of an answered ping in seconds; `None` if no such ping waits for an answer."""
        sent = self._sent.pop(ping_id, None)
        return None if sent is None else now - sent

    def forget(self, ping_id: int) -> None:
        """Ignore the answer to a ping."""
        self._sent.pop(ping_id, None)
