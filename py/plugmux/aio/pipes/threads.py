"""Two one-way pipes as one transport, each served by a thread: for pipes that no event loop can wait for.

    reading thread ── read() ──> call_soon_threadsafe ──> protocol
    write() ──> queue ──> writing thread ── write()

The reading thread reads ahead by one piece, and waits where the protocol has paused. What is written waits in a queue,
whose size is what `pause_writing` and `resume_writing` follow. The threads are daemons: a read of a pipe whose peer is
silent cannot be relied on to end, and must not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from ...platform import BlockingPipes
from ..transports import feed
from .pair import LAST_READ_TIME

__all__ = ["ThreadedPipes", "open_threaded_pipes"]

PIECE: Final = 64 * 1024
HIGH_WATER: Final = 64 * 1024


class ThreadedPipes(asyncio.Transport):
    """A bidirectional transport over two pipes whose reads and writes block.

    Args:
        pipes: the pipes, which then belong to the transport.
        protocol: what runs on it.
        writes: whether anything is written; else there is no thread for it.
    """

    def __init__(self, pipes: BlockingPipes, protocol: asyncio.BaseProtocol, *, writes: bool = True) -> None:
        super().__init__()
        self._writes = writes
        self._pipes = pipes
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._may_read = threading.Event()
        self._may_read.set()
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._unwritten = 0
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._paused = False
        self._closing = False
        self._failure: OSError | None = None
        self._lost = False
        self._held: list[bytes | None] = []  # what was read ahead while the protocol has paused; None is the end

    def start(self) -> None:
        """Tell the protocol of the connection, and begin to read and write."""
        self._protocol.connection_made(self)
        for work, name in ((self._read, "reads"), (self._write, "writes"))[: 1 + self._writes]:
            threading.Thread(target=work, name=f"plugmux: {name} the link", daemon=True).start()

    def _tell(self, act: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # The loop has been closed.
            self._loop.call_soon_threadsafe(act, *arguments)

    # In the reading thread, and what it tells.

    def _read(self) -> None:
        try:
            while data := self._pipes.read(PIECE):
                self._tell(self._received, data)
                self._may_read.wait()
        except OSError as error:
            self._tell(self._lose, error)
        else:
            self._tell(self._received, None)

    def _received(self, data: bytes | None) -> None:
        self._held.append(data)
        self._deliver()

    def _deliver(self) -> None:
        while self._held and self._may_read.is_set() and not self._lost:
            data = self._held.pop(0)
            if data is not None:
                feed(self._protocol, data)
            else:
                self._end()

    def _end(self) -> None:
        keeps_open = cast("asyncio.Protocol", self._protocol).eof_received()
        if self._failure is not None:
            self._lose(self._failure)
        elif not keeps_open:
            self.close()

    def is_reading(self) -> bool:
        return self._may_read.is_set() and not self._closing

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        if self._may_read.is_set():
            return
        self._may_read.set()
        self._loop.call_soon(self._deliver)

    # In the writing thread, and what it tells.

    def _write(self) -> None:
        try:
            while (data := self._queue.get()) is not None:
                self._pipes.write(data)
                self._tell(self._written, len(data))
        except OSError as error:
            self._tell(self._broke, error)
        else:
            self._tell(self._lose, None)

    def _written(self, size: int) -> None:
        self._unwritten -= size
        if self._paused and self._unwritten <= self._low and not self._lost:
            self._paused = False
            self._protocol.resume_writing()

    def _broke(self, error: OSError) -> None:
        """Lose the connection, after what the peer had written before it closed its ends has been read."""
        self._closing, self._failure = True, error
        self._may_read.set()
        self._deliver()
        self._loop.call_later(LAST_READ_TIME, self._lose, error)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._closing or self._lost or not data:
            return
        piece = bytes(data)
        self._unwritten += len(piece)
        self._queue.put(piece)
        if not self._paused and self._unwritten > self._high:
            self._paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self._unwritten

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_WATER if high is None else high
        self._low = self._high // 4 if low is None else low

    # The end.

    def is_closing(self) -> bool:
        return self._closing or self._lost

    def close(self) -> None:
        """Write what has been given, then close both pipes."""
        if not self._writes:
            self.abort()
        elif not self._closing:
            self._closing = True
            self._queue.put(None)

    def abort(self) -> None:
        """Close both pipes at once."""
        self._closing = True
        self._loop.call_soon(self._lose, None)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._may_read.set()
        self._queue.put(None)
        self._pipes.close()
        self._protocol.connection_lost(error)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def open_threaded_pipes(
    factory: Callable[[], asyncio.BaseProtocol], pipes: BlockingPipes, *, writes: bool = True
) -> tuple[ThreadedPipes, asyncio.BaseProtocol]:
    """Run a protocol on two pipes whose reads and writes block.

    Args:
        factory: makes the protocol.
        pipes: the pipes, which then belong to the connection; where this fails they are closed.
        writes: whether anything is written.

    Returns:
        The transport and the protocol, after `connection_made`.
    """
    try:
        protocol = factory()
        transport = ThreadedPipes(pipes, protocol, writes=writes)
        transport.start()
    except BaseException:
        pipes.close()
        raise
    return transport, protocol
