"""Flow control: how much a peer may send, by the windows of its streams and by the memory that its bytes take up.

Credit bounds what one stream holds. It does not bound a link: each stream may send its first window unasked, and a
reader that collects a body has to give credit for what it keeps. So every byte that is kept for later is counted here:
on a `LinkMemory`, and on the `MemoryPool` that it shares with the other links of a runtime.

From three quarters of a limit on, memory is *tight*. A stream of which something is kept then gets no more credit,
except a few streams at a time (`MAX_CREDITED`), so that these at least become complete and give back what they hold.
At the limit, a stream that needs more is reset.

What one link may hold depends on the other links too. Half of the pool is divided equally among them and is always
there for each; the other half goes to whichever link asks first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Final

from .config import Config
from .frame import INITIAL_WINDOW
from .state import ENDED, Stream

__all__ = ["STREAM_COST", "LinkMemory", "MemoryPool", "WindowGrowth", "keep_freed_memory"]

STREAM_COST: Final = 4096
"""Bytes that count for an open stream of the peer itself; an idle HTTP exchange takes about as much."""
MAX_CREDITED: Final = 4
"""Streams that are credited while memory is tight. A quarter of the limit should have room for so many messages."""
READ_BUFFER: Final = 288 * 1024
"""More than asyncio's TLS reads at once: what one read has brought comes in one piece."""
MAX_CREDIT_STEP: Final = 1024 * 1024
"""Bytes that are read at most until the peer is credited: with half of a large window, too little is under way."""
UNREAD_WINDOW: Final = 4 * 1024 * 1024
"""Bytes up to which the window of a stream grows of which the program has taken little."""
LONG_ROUND_TRIP: Final = 0.002
"""Seconds from which on a stream begins with a large window: that saves a round trip, and costs a frame."""


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
        """The buffer to read into; its content must be taken before anything else runs."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(READ_BUFFER))
        return self._buffer

    def has_room(self, held: int) -> bool:
        """Whether a link may hold `held` bytes, which are counted already."""
        return self.held * 2 <= self.limit or held <= self._share

    def is_tight(self, held: int) -> bool:
        """Whether a link that holds `held` bytes is near its limit."""
        return self.held * 8 > self.limit * 3 and held * 4 > self._share * 3

    @property
    def _share(self) -> int:
        return self.limit // (2 * max(self.links, 1))

    def remove(self, size: int) -> None:
        """Stop counting bytes, and tell the links that wait for memory."""
        self.held -= size
        if self.waiting:
            for link in tuple(self.waiting):
                link.on_room()


class LinkMemory:
    """What one link holds, and which of its streams wait for credit.

    Args:
        pool: what the link shares with others.
        limit: bytes that the link may hold; it can be changed at any time.

    Attributes:
        held: bytes that are kept on the link, `STREAM_COST` for each stream of the peer's included.
        stalled: streams from which credit is withheld, in the order in which they asked for it.
        on_room: is called when there may be memory for `stalled` again.
    """

    __slots__ = ("_credited", "_pool", "held", "limit", "on_room", "stalled")

    def __init__(self, pool: MemoryPool, limit: int) -> None:
        self._pool = pool
        self._credited: dict[Stream, None] = {}
        self.limit = limit
        self.held = 0
        self.stalled: dict[Stream, None] = {}
        self.on_room: Callable[[], object] = bool

    def join(self) -> None:
        """Become one of the pool's links, until `close`."""
        self._pool.links += 1

    def add(self, size: int) -> bool:
        """Count bytes that are kept from now on; `False` if they pass a limit, so that the caller must drop them."""
        self.held += size
        self._pool.held += size
        return self.held <= self.limit and self._pool.has_room(self.held)

    def remove(self, size: int) -> None:
        """Stop counting bytes."""
        self.held -= size
        self._pool.remove(size)

    def hold(self, stream: Stream, change: int) -> bool:
        """Count bytes that came on a stream and are kept until someone takes them.

        Args:
            stream: the stream.
            change: bytes that are kept from now on; negative for bytes that are no longer kept.

        Returns:
            Whether there is memory for it. If there is not, the stream has to be reset.
        """
        stream.held += change
        if change > 0:
            return self.add(change)
        self.remove(-change)
        return True

    def release(self, stream: Stream) -> None:
        """Count nothing for a stream any longer. The owner of a stream calls it at the stream's end."""
        if stream.held:
            self.held -= stream.held
            self._pool.remove(stream.held)
            stream.held = 0

    @property
    def tight(self) -> bool:
        """Whether streams have to wait for credit."""
        return self.held * 4 > self.limit * 3 or self._pool.is_tight(self.held)

    def may_credit(self, stream: Stream) -> bool:
        """Whether a stream gets credit now; otherwise it is in `stalled` until it does."""
        if not _needs_room(stream) or stream in self._credited or not self.tight:
            return True
        if len(self._credited) >= MAX_CREDITED:
            self._credited = {other: None for other in self._credited if _needs_room(other)}
        if len(self._credited) < MAX_CREDITED and not self.stalled:
            self._credited[stream] = None
            return True
        self.stalled[stream] = None
        self._pool.waiting.add(self)
        return False

    def next_for_credit(self) -> list[Stream]:
        """Take the streams out of `stalled` that get credit now."""
        if self.tight:
            chosen = self._choose()
        else:
            self._credited.clear()
            chosen = list(self.stalled)
            self.stalled.clear()
        if not self.stalled:
            self._pool.waiting.discard(self)
        return chosen

    def _choose(self) -> list[Stream]:
        self._credited = {stream: None for stream in self._credited if _needs_room(stream)}
        chosen = []
        while self.stalled and len(self._credited) < MAX_CREDITED:
            stream = next(iter(self.stalled))
            del self.stalled[stream]
            if _needs_room(stream):
                self._credited[stream] = None
            chosen.append(stream)
        return chosen

    def close(self) -> None:
        """Leave the pool, with all that is held; streams that end later are counted here alone, without limit."""
        self.stalled.clear()
        self._credited.clear()
        self._pool.waiting.discard(self)
        self._pool.links -= 1
        self._pool.remove(self.held)
        self._pool = MemoryPool(sys.maxsize)
        self._pool.held = self.held
        self.limit = sys.maxsize


def _needs_room(stream: Stream) -> bool:
    """Whether a stream's credit adds to what is held until its message is complete."""
    return stream.held > STREAM_COST and stream.receiving is not ENDED


class WindowGrowth:
    """Decides how far the receive windows of a session grow.

    A sender that has used its whole window waits one round trip for credit, so a stream moves at most one window per
    round trip, less what has been read and is not credited yet. Credit is returned each time half the window has been
    read, or `MAX_CREDIT_STEP`. When it is read at a rate of more than half a window in two round trips, the window
    limits the stream, and grows. The window of a reader that does not keep up stays as it was. The growth of all
    windows of a session has one bound.

    How far a window grows at once depends on what the program has really taken, which is less than what was credited:
    a body that is collected, or a stream that nobody reads, is credited and kept. A window doubles, up to
    `UNREAD_WINDOW`. Where the program has taken a quarter of a window's size it becomes four times as large, or at once
    what another stream of the session has needed, up to the configured maximum.

    On a session with a long round trip, a new stream begins with the window that another has needed. All such streams
    together get a quarter of the session's growth, since many of them will need none.

    Attributes:
        rtt: the shortest round trip measured, in seconds; `None` until there is one, and windows stay as they are.
    """

    __slots__ = ("_bulk", "_initial", "_largest", "_left", "_maximum", "_reserved", "rtt")

    def __init__(self, config: Config) -> None:
        self.rtt: float | None = None
        self._initial = config.stream_window_size
        self._maximum = config.max_stream_window_size
        self._left = config.max_session_window_growth
        self._bulk = self._left // 2  # what windows beyond `UNREAD_WINDOW` leave to others
        self._reserved = self._left // 4 * 3  # what windows that begin large leave to others
        self._largest = 0

    def measured(self, rtt: float) -> None:
        """Record a round trip of `rtt` seconds."""
        if self.rtt is None or rtt < self.rtt:
            self.rtt = rtt

    def wants_round_trip(self, stream: Stream) -> bool:
        """Whether a stream's window could grow if the round trip were known."""
        return self.rtt is None and stream.window < self._maximum and self._left > 0

    def begin(self, stream: Stream, *, grow: bool = True) -> None:
        """Give a new stream its first window; what exceeds the wire's default is announced as credit."""
        wanted = self._initial
        if grow and self.rtt is not None and self.rtt >= LONG_ROUND_TRIP:
            wanted = max(wanted, min(self._largest, INITIAL_WINDOW + self._left - self._reserved))
        if wanted > INITIAL_WINDOW:
            self._widen(stream, wanted)

    def refill(self, stream: Stream, now: float, *, grow: bool = True) -> None:
        """Note that what was consumed is credited now, and widen the window if that went fast."""
        stream.credited += stream.consumed
        elapsed = now - stream.credited_at
        if grow and self.rtt is not None and elapsed * stream.window < 4 * self.rtt * stream.consumed:
            if 4 * (stream.credited - stream.held) >= stream.window:
                self._widen(stream, max(4 * stream.window, self._largest))
                self._largest = max(self._largest, stream.window)
            else:
                self._widen(stream, min(2 * stream.window, UNREAD_WINDOW))
        stream.credited_at = now

    def end(self, stream: Stream) -> None:
        """Take back what the window of a stream has grown by."""
        self._left += stream.window - INITIAL_WINDOW

    def _widen(self, stream: Stream, wanted: int) -> None:
        size = min(wanted, self._maximum, stream.window + self._left)
        if size > UNREAD_WINDOW:
            size = max(min(size, stream.window + self._left - self._bulk), UNREAD_WINDOW)
        growth = max(size - stream.window, 0)
        self._left -= growth
        stream.window += growth
        stream.credit_step = min(stream.window // 2, MAX_CREDIT_STEP)
        stream.consumed += growth


def _keep_freed_memory() -> None:
    """Make the allocator keep freed memory, by freeing a block of 4 MiB that was never touched.

    The buffers of a large message are freed as fast as they are made. glibc gives freed memory back to the system as
    soon as there are 128 KiB of it, and the next message faults it in again page by page, which costs more than all of
    our work. Once glibc has seen a larger block freed, it serves such blocks from its heap and keeps twice as much
    (mallopt(3), "M_MMAP_THRESHOLD"). Other allocators ignore the block.
    """
    bytes(4 * 1024 * 1024)


keep_freed_memory = cache(_keep_freed_memory)
"""Once for a process: a second block would come from the heap, and be cleared, which takes up to 20 ms."""
