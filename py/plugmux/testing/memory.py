"""A connection in memory: two asyncio transports joined by two flows, one for each direction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from .faults import Direction, FlowState, LinkFaults

__all__ = ["MemoryTransport", "connect_in_memory"]

PIECE = 64 * 1024
"""Bytes that are delivered at most in one turn of the event loop."""
HIGH_WATER = 64 * 1024


def connect_in_memory(
    host: asyncio.BaseProtocol, plugin: asyncio.BaseProtocol, faults: LinkFaults | None = None
) -> tuple[MemoryTransport, MemoryTransport]:
    """Connect two protocols with each other, both in the running event loop.

    Args:
        host: the protocol at the host's end.
        plugin: the protocol at the plugin's end.
        faults: the faults to inject between the two; none by default.

    Returns:
        The transport of the host's end, and that of the plugin's.
    """
    faults = faults or LinkFaults()
    near = MemoryTransport(host, faults.of(Direction.TO_PLUGIN))
    far = MemoryTransport(plugin, faults.of(Direction.TO_HOST))
    near.join(far)
    far.join(near)

    def lose(error: Exception) -> None:
        near.lose(error)
        far.lose(error)

    faults.attach(near.flow, far.flow, lose)
    host.connection_made(near)
    plugin.connection_made(far)
    return near, far


class Flow:
    """The bytes under way in one direction.

    Args:
        state: the faults of this direction.
    """

    def __init__(self, state: FlowState) -> None:
        self.state = state
        self.size = 0
        self.paused = False
        self.dropping = False
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.Handle | None = None
        self._not_before = 0.0
        self.receiver: MemoryTransport
        self.drained: Callable[[], None]

    def put(self, data: bytes) -> None:
        """Send bytes on their way; empty for the end of the stream."""
        if not self.dropping:
            self._queue.append((self._loop.time(), data))
            self.size += len(data)
            self.wake()

    def clear(self) -> None:
        """Forget the bytes that have not arrived."""
        self._queue.clear()
        self.size = 0
        self.wake()

    def wake(self) -> None:
        """Plan the next delivery by the faults as they are now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._queue or self.paused or self.state.rate == 0:
            return
        due = max(self._queue[0][0] + self.state.delay, self._not_before)
        if due <= self._loop.time():
            self._timer = self._loop.call_soon(self._deliver)
        else:
            self._timer = self._loop.call_at(due, self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        written, data = self._queue.popleft()
        if self.state.rate is not None:
            most = max(1, min(PIECE, int(self.state.rate)))
            self._not_before = self._loop.time() + min(len(data), most) / self.state.rate
        else:
            most = PIECE
        if len(data) > most:
            self._queue.appendleft((written, data[most:]))
            data = data[:most]
        self.size -= len(data)
        self.receiver.receive(data)
        self.drained()
        self.wake()


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory.

    Args:
        protocol: what runs at this end.
        state: the faults of what this end writes.
    """

    def __init__(self, protocol: asyncio.BaseProtocol, state: FlowState) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._full = False
        self._closing = False
        self._lost = False
        self.flow = Flow(state)
        self.flow.drained = self._drained
        self._incoming: Flow

    def join(self, peer: MemoryTransport) -> None:
        """Let this end read what another one writes."""
        self._incoming = peer.flow
        peer.flow.receiver = self

    def receive(self, data: bytes) -> None:
        """Give bytes that have arrived to the protocol; empty for the end of the stream."""
        if self._closing:
            return
        protocol = self._protocol
        if not data:
            if not isinstance(protocol, asyncio.Protocol | asyncio.BufferedProtocol) or not protocol.eof_received():
                self.close()
        elif isinstance(protocol, asyncio.BufferedProtocol):
            rest = memoryview(data)
            while rest and not self._closing:
                buffer = memoryview(protocol.get_buffer(len(rest)))
                count = min(len(buffer), len(rest))
                buffer[:count] = rest[:count]
                protocol.buffer_updated(count)
                rest = rest[count:]
        elif isinstance(protocol, asyncio.Protocol):
            protocol.data_received(data)

    def lose(self, error: Exception | None) -> None:
        """End this end of the connection at once; the protocol is told in the loop's next turn."""
        self._closing = True
        if not self._lost:
            self._lost = True
            self._incoming.clear()
            self._loop.call_soon(self._protocol.connection_lost, error)

    # What a protocol asks of its transport.

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._closing or not data:
            return
        self.flow.put(bytes(data))
        if self.flow.size > self._high and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def _drained(self) -> None:
        if self._full and self.flow.size <= self._low and not self._closing:
            self._full = False
            self._protocol.resume_writing()

    def close(self) -> None:
        if not self._closing:
            self.flow.put(b"")
            self.lose(None)

    def abort(self) -> None:
        if not self._closing:
            self.flow.clear()
            self.close()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._incoming.paused = True
        self._incoming.wake()

    def resume_reading(self) -> None:
        self._incoming.paused = False
        self._incoming.wake()

    def is_reading(self) -> bool:
        return not self._closing and not self._incoming.paused

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self.flow.size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else (HIGH_WATER if low is None else 4 * low)
        self._low = low if low is not None else self._high // 4

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
