"""How much memory peers may take up with what has come from them and has not been taken.

Credit bounds what one stream holds. It does not bound a link: each stream may send its first window unasked, and a
reader that collects a body has to give credit for what it keeps. So every byte that is kept for later is counted here:
on a `LinkMemory`, and on the `MemoryPool` that it shares with the other links of a runtime.

From three quarters of a limit on, memory is *tight*. A stream of which something is kept then gets no more credit,
except a few streams at a time (`LANES`), so that these at least become complete and give back what they hold. At the
limit, a stream that needs more is reset.

What one link may hold depends on the others too. Half the pool is shared out equally among them, and is there for each
in any case; the other half goes to whoever comes first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from .state import ENDED, Stream

__all__ = ["STREAM_COST", "LinkMemory", "MemoryPool"]

STREAM_COST: Final = 4096
"""Bytes that a stream of the peer's is counted for by itself; an idle HTTP exchange takes about as much."""
LANES: Final = 4
"""Streams that are credited while memory is tight. A quarter of the limit should have room for so many messages."""
READ_BUFFER: Final = 256 * 1024


class MemoryPool:
    """What several links share: a limit, and the buffer that their connections are read into.

    All links of a pool belong to one event loop, which reads one connection at a time.

    Args:
        limit: bytes.

    Attributes:
        held: bytes that are kept on all links.
        links: how many links there are.
        waiting: the links on which streams wait for credit.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.links = 0
        self.waiting: set[LinkMemory] = set()
        self._buffer: memoryview | None = None

    @property
    def read_buffer(self) -> memoryview:
        """The buffer to read into; what is in it must be taken before anything else runs."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(READ_BUFFER))
        return self._buffer

    def has_room(self, held: int) -> bool:
        """Whether a link may hold so much, which is counted already."""
        return self.held * 2 <= self.limit or held <= self._share

    def is_tight(self, held: int) -> bool:
        """Whether a link that holds so much is near to what it may."""
        return self.held * 8 > self.limit * 3 and held * 4 > self._share * 3

    @property
    def _share(self) -> int:
        return self.limit // (2 * max(self.links, 1))

    def remove(self, size: int) -> None:
        """Count bytes no more, and let the links know that wait for it."""
        self.held -= size
        if self.waiting:
            for link in tuple(self.waiting):
                link.on_room()


class LinkMemory:
    """What one link holds, and which of its streams wait for credit.

    Args:
        pool: what the link shares with others.
        limit: bytes that the link may hold. It may be set anew at any time.

    Attributes:
        held: bytes that are kept on the link, `STREAM_COST` for each stream of the peer's included.
        stalled: streams from which credit is withheld, in the order in which they asked for it.
        on_room: is called when there may be room for `stalled` again.
    """

    __slots__ = ("_lanes", "_pool", "held", "limit", "on_room", "stalled")

    def __init__(self, pool: MemoryPool, limit: int) -> None:
        self._pool = pool
        self._lanes: dict[Stream, None] = {}
        self.limit = limit
        self.held = 0
        self.stalled: dict[Stream, None] = {}
        self.on_room: Callable[[], object] = bool

    def join(self) -> None:
        """Be one of the pool's links, until `close`."""
        self._pool.links += 1

    def add(self, size: int) -> bool:
        """Count bytes that are kept from now on; `False` where they pass a limit and have to be given up."""
        self.held += size
        self._pool.held += size
        return self.held <= self.limit and self._pool.has_room(self.held)

    def remove(self, size: int) -> None:
        """Count bytes no more."""
        self.held -= size
        self._pool.remove(size)

    def hold(self, stream: Stream, change: int) -> bool:
        """Note that so many bytes more, or fewer, of what came on a stream are kept for whoever will take them.

        Args:
            stream: the stream.
            change: bytes; those that are kept no more are negative.

        Returns:
            Whether there is memory for it. If there is not, the stream has to be reset.
        """
        stream.held += change
        if change > 0:
            return self.add(change)
        self.remove(-change)
        return True

    def release(self, stream: Stream) -> None:
        """Note that nothing of what came on a stream is kept any more. Whoever owns a stream does so at its end."""
        if stream.held:
            self.hold(stream, -stream.held)

    @property
    def tight(self) -> bool:
        """Whether streams have to wait for credit."""
        return self.held * 4 > self.limit * 3 or self._pool.is_tight(self.held)

    def may_credit(self, stream: Stream) -> bool:
        """Whether a stream gets credit now; one that does not is in `stalled` until it does."""
        if not _needs_room(stream) or stream in self._lanes or not self.tight:
            return True
        if len(self._lanes) >= LANES:
            self._lanes = {other: None for other in self._lanes if _needs_room(other)}
        if len(self._lanes) < LANES and not self.stalled:
            self._lanes[stream] = None
            return True
        self.stalled[stream] = None
        self._pool.waiting.add(self)
        return False

    def next_for_credit(self) -> list[Stream]:
        """Take those out of `stalled` that get credit now."""
        if self.tight:
            chosen = self._fill_lanes()
        else:
            self._lanes.clear()
            chosen = list(self.stalled)
            self.stalled.clear()
        if not self.stalled:
            self._pool.waiting.discard(self)
        return chosen

    def _fill_lanes(self) -> list[Stream]:
        self._lanes = {stream: None for stream in self._lanes if _needs_room(stream)}
        chosen = []
        while self.stalled and len(self._lanes) < LANES:
            stream = next(iter(self.stalled))
            del self.stalled[stream]
            if _needs_room(stream):
                self._lanes[stream] = None
            chosen.append(stream)
        return chosen

    def close(self) -> None:
        """Leave the pool, with all that is held; what is counted from now on has no limit."""
        self.stalled.clear()
        self._lanes.clear()
        self._pool.waiting.discard(self)
        self._pool.links -= 1
        self._pool.remove(self.held)
        self._pool = MemoryPool(sys.maxsize)
        self.limit = sys.maxsize
        self.held = 0


def _needs_room(stream: Stream) -> bool:
    """Whether a stream adds to what is kept when it gets credit, and gives it back when it is complete."""
    return stream.held > STREAM_COST and stream.receiving is not ENDED
