"""What a session has to send, in which order it is sent, and which streams have to wait for the peer's backlog."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from .frame import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER_SIZE,
    INITIAL_WINDOW,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    GoAwayCode,
    pack_header,
)
from .state import ACK_PENDING, BACKLOGGED, ENDED, ENDING, ESTABLISHED, SYN_PENDING, SYN_RECEIVED, SYN_SENT, Stream

__all__ = ["MAX_FRAME", "Backlog", "Outbox"]

MAX_FRAME: Final = 64 * 1024
MAX_LONE_FRAME: Final = 128 * 1024
"""Where no other stream waits: a message of 64 KiB and its head are one frame."""
MAX_DEFERRED: Final = 64
"""How many ACKs, and how many FINs, are deferred at most."""

_SILENT: Final = (BACKLOGGED, SYN_RECEIVED)


class Outbox:
    """Turns what streams and session have queued into frames.

    Args:
        drained: is called when a stream's queue has sunk to `notify_at`.
        finished: is called when a stream's FIN has been taken.
    """

    __slots__ = ("_acks", "_control", "_deferred", "_drained", "_finished", "_ready")

    def __init__(self, drained: Callable[[Stream], None], finished: Callable[[Stream], None]) -> None:
        self._drained = drained
        self._finished = finished
        self._control = bytearray()
        self._ready: deque[Stream] = deque()
        # Deferred, because no one waits for them: frames, and the ACKs of streams that have sent no frame since.
        self._deferred = bytearray()
        self._acks: dict[Stream, None] = {}

    # Queueing.

    def ping(self, flags: int, value: int) -> None:
        """Queue a ping, or the answer to one."""
        self._control += pack_header(PING, flags, 0, value)

    def go_away(self, code: GoAwayCode) -> None:
        """Queue a go-away."""
        self._control += pack_header(GO_AWAY, 0, 0, code)

    def reset(self, stream_id: int) -> None:
        """Queue a RST."""
        self._control += pack_header(WINDOW_UPDATE, RST, stream_id, 0)

    def credit(self, stream: Stream) -> None:
        """Queue what a stream's reader has consumed as credit, with the ACK if that is pending."""
        flags = 0
        if stream.handshake is ACK_PENDING:
            flags = ACK
            self._acknowledged(stream)
        self._control += _pack_credit(stream, flags)

    def defer_ack(self, stream: Stream) -> None:
        """Let the ACK of a stream ride on its next frame."""
        stream.handshake = ACK_PENDING
        self._acks[stream] = None
        if len(self._acks) > MAX_DEFERRED:
            self.enqueue(stream)

    def defer_fin(self, stream: Stream) -> None:
        """Queue a FIN that no one waits for."""
        frames = self._deferred if len(self._deferred) < MAX_DEFERRED * HEADER_SIZE else self._control
        frames += pack_header(WINDOW_UPDATE, FIN, stream.id, 0)

    def enqueue(self, stream: Stream) -> None:
        """Put a stream into the round robin, unless it is there already or may not send yet."""
        if not stream.queued and stream.handshake not in _SILENT:
            stream.queued = True
            self._ready.append(stream)

    def forget(self, stream: Stream) -> None:
        """Drop the deferred ACK of an ended stream."""
        self._acks.pop(stream, None)

    def clear(self) -> None:
        """Drop everything."""
        self._control.clear()
        self._deferred.clear()
        self._acks.clear()
        self._ready.clear()

    # Sending.

    @property
    def has_frames(self) -> bool:
        """Whether any frame waits that is not deferred."""
        return bool(self._control or self._ready)

    @property
    def waiting_control(self) -> int:
        """Bytes of control frames that wait."""
        return len(self._control)

    @property
    def deferred(self) -> int:
        """The number of deferred frames."""
        return len(self._acks) + len(self._deferred) // HEADER_SIZE

    def flush_deferred(self) -> None:
        """Queue the deferred frames to be sent."""
        self._control += self._deferred
        self._deferred.clear()
        for stream in self._acks:
            self.enqueue(stream)

    def take(self, limit: int) -> list[bytes | memoryview]:
        """Give the next frames as chunks, and begin no further one after `limit` bytes."""
        chunks: list[bytes | memoryview] = []
        ready = self._ready
        if not self._control and not ready:
            return chunks
        size = len(self._control) + len(self._deferred)
        if size:
            chunks.append(bytes(self._control + self._deferred))
            self._control.clear()
            self._deferred.clear()
        while ready and size < limit:
            stream = ready.popleft()
            stream.queued = False
            if stream.sending is not ENDED:
                size += self._put_frame(stream, chunks, MAX_FRAME if ready else MAX_LONE_FRAME)
        return chunks

    def _put_frame(self, stream: Stream, chunks: list[bytes | memoryview], most: int) -> int:
        """Append the next frame of a stream, and the FIN behind its last; give the size."""
        flags = 0 if stream.handshake is ESTABLISHED else self._take_flags(stream, chunks)
        length = min(stream.pending_size, stream.send_window, most)
        if length:
            chunks.append(pack_header(DATA, flags, stream.id, length))
            flags = 0
            _take_payload(stream, length, chunks)
            if stream.pending_size <= stream.notify_at:
                stream.notify_at = -1
                self._drained(stream)
        if stream.pending_size:
            if stream.send_window:
                self.enqueue(stream)
        elif stream.sending is ENDING:
            # Never on a frame with payload: hashicorp/yamux ends the stream before it stores the payload, so that a
            # reader that looks in between misses the payload.
            flags |= FIN
            self._finished(stream)
        if flags:
            chunks.append(pack_header(WINDOW_UPDATE, flags, stream.id, 0))
        return HEADER_SIZE + length

    def _take_flags(self, stream: Stream, chunks: list[bytes | memoryview]) -> int:
        """Move the handshake on for the next frame of a stream; a larger window is announced with it."""
        if stream.handshake is SYN_PENDING:
            stream.handshake = SYN_SENT
            flags = SYN
        elif stream.handshake is ACK_PENDING:
            flags = ACK
            self._acknowledged(stream)
        else:
            return 0
        if stream.window == INITIAL_WINDOW or stream.receiving is ENDED:
            return flags
        chunks.append(_pack_credit(stream, flags))
        return 0

    def _acknowledged(self, stream: Stream) -> None:
        stream.handshake = ESTABLISHED
        del self._acks[stream]


def _pack_credit(stream: Stream, flags: int) -> bytes:
    credit = stream.consumed
    stream.consumed = 0
    stream.receive_window += credit
    return pack_header(WINDOW_UPDATE, flags, stream.id, credit)


def _take_payload(stream: Stream, size: int, chunks: list[bytes | memoryview]) -> None:
    """Move so many bytes from a stream's queue to `chunks`."""
    pending = stream.pending
    assert pending is not None
    stream.pending_size -= size
    stream.send_window -= size
    if not stream.pending_size:
        chunks.extend(pending)
        stream.pending = None
        return
    while size:
        chunk = pending[0]
        if len(chunk) <= size:
            chunks.append(pending.popleft())
            size -= len(chunk)
        else:
            rest = memoryview(chunk)
            chunks.append(rest[:size])
            pending[0] = rest[size:]
            break


class Backlog:
    """Counts our streams that the peer has not acknowledged, and holds back those beyond its backlog.

    Each stream gives its place back when the wait is over: by the ACK, a reset from either side, or its end.

    Args:
        size: the places.
    """

    __slots__ = ("_backlogged", "_placed", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._placed = 0
        self._backlogged: deque[Stream] | None = None  # until one is: most links have none

    @property
    def free(self) -> int:
        """Places that are free."""
        return self._size - self._placed

    def enter(self, stream: Stream) -> None:
        """Give a new stream a place, or hold it back."""
        if self._placed < self._size:
            self._placed += 1
            stream.handshake = SYN_PENDING
        else:
            stream.handshake = BACKLOGGED
            if self._backlogged is None:
                self._backlogged = deque()
            self._backlogged.append(stream)

    def leave(self) -> Stream | None:
        """Give back a place, and give the stream that takes it, if one was held back."""
        while self._backlogged:
            stream = self._backlogged.popleft()
            if not stream.ended:
                stream.handshake = SYN_PENDING
                return stream
        self._placed -= 1
        return None

    def take_backlogged(self) -> list[Stream]:
        """Give the streams that are held back, and hold them no longer."""
        backlogged, self._backlogged = self._backlogged, None
        return [stream for stream in backlogged or () if not stream.ended]
