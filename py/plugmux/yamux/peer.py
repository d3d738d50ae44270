"""The streams that the peer opens: which of its ids are sound, and how many streams it may have."""

from __future__ import annotations

from .budget import STREAM_COST, LinkMemory
from .config import Config
from .frame import DATA, INITIAL_WINDOW, describe
from .ids import PeerIds
from .reader import Violation

__all__ = ["PeerStreams"]


class PeerStreams:
    """Counts the streams of the peer.

    Args:
        first_id: the first id of the peer's, 1 or 2.
        config: the limits.
        memory: what is counted for each stream.

    Attributes:
        ids: the peer's ids, and which it has used.
        limit: streams that it may have open at once.
        count: streams that it has open.
        unaccepted: those among them that have not been accepted.
    """

    __slots__ = ("_backlog", "_memory", "count", "ids", "limit", "unaccepted")

    def __init__(self, first_id: int, config: Config, memory: LinkMemory) -> None:
        self.ids = PeerIds(first_id)
        self.limit = config.max_streams
        self.count = 0
        self.unaccepted = 0
        self._backlog = config.accept_backlog
        self._memory = memory

    def use_id(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        """Take note of a frame that opens a stream.

        Raises:
            Violation: its id cannot be used, or the frame is longer than the window of a new stream.
        """
        if not self.ids.owns(stream_id):
            raise Violation(f"{describe(kind, flags, stream_id, length)}: the id is not one of the peer's")
        if self.ids.used(stream_id):
            raise Violation(f"{describe(kind, flags, stream_id, length)}: the id has been used before")
        self.ids.use(stream_id)
        if kind == DATA and length > INITIAL_WINDOW:
            raise Violation(f"{describe(kind, flags, stream_id, length)}: a new window has {INITIAL_WINDOW} bytes")

    def admit(self) -> bool:
        """Count one more stream, and `STREAM_COST` for it; `False` where the peer may not have it."""
        if self.unaccepted >= self._backlog or self.count >= self.limit:
            return False
        if not self._memory.add(STREAM_COST):
            self._memory.remove(STREAM_COST)
            return False
        self.count += 1
        self.unaccepted += 1
        return True
