"""The places in the peer's backlog: how many of our streams may wait for its ACK."""

from __future__ import annotations

from collections import deque

from .state import HELD, SYN_OWED, Stream

__all__ = ["Backlog"]


class Backlog:
    """Counts our streams that the peer has not acknowledged, and holds back those beyond its backlog.

    A place is given back by whatever ends the waiting: the ACK, a reset from either side, the end of the stream.

    Args:
        size: the places.
    """

    __slots__ = ("_held", "_placed", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._placed = 0
        self._held: deque[Stream] = deque()

    @property
    def free(self) -> int:
        """Places that are free."""
        return self._size - self._placed

    def enter(self, stream: Stream) -> None:
        """Give a new stream a place, or hold it back."""
        if self._placed < self._size:
            self._placed += 1
            stream.handshake = SYN_OWED
        else:
            stream.handshake = HELD
            self._held.append(stream)

    def leave(self) -> Stream | None:
        """Give back a place, and give the stream that takes it, if one was held back."""
        while self._held:
            stream = self._held.popleft()
            if not stream.ended:
                stream.handshake = SYN_OWED
                return stream
        self._placed -= 1
        return None

    def take_held(self) -> list[Stream]:
        """Give the streams that are held back, and hold them no longer."""
        held = [stream for stream in self._held if not stream.ended]
        self._held.clear()
        return held
