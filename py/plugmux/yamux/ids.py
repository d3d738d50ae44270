"""Which stream ids the peer has used.

Ids rise, but peers that open streams from several threads put their SYNs out in another order than their ids
(hashicorp/yamux does), so an id may come a little late. Ids that were passed over are remembered, within a bound; any
other id up to the highest has been used and cannot come again.
"""

from __future__ import annotations

from typing import Final

from .frame import MAX_STREAM_ID

__all__ = ["MAX_LATE", "PeerIds"]

MAX_LATE: Final = 1024
"""How many ids that were passed over are remembered; peers have their backlog's worth of SYNs under way, 256."""


class PeerIds:
    """The ids of one parity, and which of them have been used.

    Args:
        first: the first id, 1 or 2.
    """

    __slots__ = ("_highest", "_late", "_parity")

    def __init__(self, first: int) -> None:
        self._parity = first % 2
        self._highest = first - 2
        self._late: dict[int, None] = {}

    def owns(self, stream_id: int) -> bool:
        """Whether an id is one of these at all."""
        return stream_id % 2 == self._parity and 0 < stream_id <= MAX_STREAM_ID

    def used(self, stream_id: int) -> bool:
        """Whether an id has been used."""
        return stream_id <= self._highest and stream_id not in self._late

    def use(self, stream_id: int) -> None:
        """Note that an id is used now."""
        expected = self._highest + 2
        if stream_id < expected:
            del self._late[stream_id]
            return
        if stream_id > expected:
            self._pass_over(range(max(expected, stream_id - 2 * MAX_LATE), stream_id, 2))
        self._highest = stream_id

    def _pass_over(self, ids: range) -> None:
        self._late.update(dict.fromkeys(ids))
        while len(self._late) > MAX_LATE:
            del self._late[next(iter(self._late))]
