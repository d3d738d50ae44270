"""The pings that wait for their answer."""

from __future__ import annotations

__all__ = ["Pings"]


class Pings:
    """Numbers pings and measures the time to their answers."""

    __slots__ = ("_asked", "_next_id")

    def __init__(self) -> None:
        self._next_id = 0
        self._asked: dict[int, float] = {}

    def ask(self, now: float) -> int:
        """Give the id of a new ping."""
        ping_id = self._next_id
        self._next_id = (ping_id + 1) & 0xFFFFFFFF
        self._asked[ping_id] = now
        return ping_id

    def answered(self, ping_id: int, now: float) -> float | None:
        """Give the round trip of a ping in seconds; `None` if nobody waits for this one."""
        asked = self._asked.pop(ping_id, None)
        return None if asked is None else now - asked

    def forget(self, ping_id: int) -> None:
        """Take no more notice of an answer."""
        self._asked.pop(ping_id, None)
