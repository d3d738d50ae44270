"""A yamux session without I/O: bytes in, events out; writes in, bytes out.

Theory of operation
-------------------
*Incoming.* `receive_data` walks the bytes frame by frame and gives a list of events. Payload is passed on as it comes,
without waiting for its frame to be complete, so nothing is buffered here but a part of a header. All checks are made on
the header, before a byte of payload is taken.

*Outgoing.* Whatever is sent is queued, and `data_to_send` turns the queues into frames, in this order: control
frames; then, round robin over the streams that have something to send and window to send it in, one frame of 64 KiB at
most each, of 128 KiB where no other waits. SYN and ACK ride on a stream's first frame, whether that has payload or
not; FIN goes right behind the last payload. Frames that no one waits for (a lone ACK, or the FIN that answers a FIN)
are deferred until there is another frame, or there are too many of them, or `flush_deferred` is called.

*Windows.* The peer may send a stream's `receive_window`. It is filled up again when half of it, or 1 MiB, has been
consumed, that is reported by `consume`, never on arrival. `WindowGrowth` decides what it is filled up to.

*Faults.* What the peer does wrong never raises here: a fault of one stream resets that stream, any other ends the
session with a go-away that says "protocol error" and a `SessionEnded` event that names the frame and the rule. Calls
raise only for what the caller did wrong, or because the session or the stream has ended.

There is no clock: the caller passes the time of each input, and owns all timeouts.
"""

from __future__ import annotations

import sys
from typing import Final

from ..errors import LinkError, ProtocolViolation, SessionClosed, StreamReset
from .config import Config
from .flow import STREAM_COST, LinkMemory, MemoryPool
from .frame import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    MAX_WINDOW,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    FrameReader,
    GoAwayCode,
    Violation,
    describe,
    describe_code,
    pack_header,
)
from .outbox import MAX_FRAME
from .state import (
    ENDED,
    ESTABLISHED,
    SYN_RECEIVED,
    SYN_SENT,
    DataReceived,
    GoAwayReceived,
    PongReceived,
    SessionEnded,
    SessionEvent,
    Stream,
    StreamAcknowledged,
    StreamEnded,
    StreamOpened,
    StreamWasReset,
)
from .streams import SessionStreams

__all__ = ["Session"]

MAX_UNREAD_CONTROL: Final = 1024 * 1024
"""Bytes of answers (RSTs, pongs) that may wait for the peer to read them."""
STREAM_WORK: Final = 8
"""Frames that opening a stream counts for, since the caller begins an exchange on it."""
YOUNG: Final = 1.0
"""Seconds for which a stream that the peer resets counts against `max_resets`."""
UNLIMITED: Final = sys.maxsize


class Session(SessionStreams):
    """The state machine of one side of a yamux connection.

    Args:
        client: whether this side opens the odd stream ids.
        config: its settings.
        now: the time, in seconds on any clock that does not go back.
        memory: what the session may hold; by default what the settings allow.

    Attributes:
        accepting: whether a stream of the peer's is accepted as its first frame is read, so that it never waits in the
            backlog. Off until the caller has something to accept streams with.
        streams: the streams that have not ended, by id.
        error: why the session has ended; `None` while it has not.
        remote_go_away: whether the peer refuses new streams.
        local_go_away: whether this side refuses new streams.
        memory: counts the received bytes that are kept.
        taken: how many bytes of the last input have been taken.
        now: the time of the last input.
    """

    def __init__(
        self, *, client: bool, config: Config | None = None, now: float = 0.0, memory: LinkMemory | None = None
    ) -> None:
        config = config or Config()
        memory = memory or LinkMemory(MemoryPool(2 * config.max_link_memory), config.max_link_memory)
        super().__init__(client=client, config=config, now=now, memory=memory)
        self.accepting = False
        self.local_go_away = False
        self.taken = 0
        self._reader = FrameReader(self._receive_stream_frame, self._receive_session_frame, self._receive_payload)
        self._payload_stream: Stream | None = None
        self._payload_ends = 0  # the FIN flag of its frame
        self._go_away_frame = b""  # the last frame, when a fault of the peer has ended the session

    def go_away(self, code: GoAwayCode = GoAwayCode.NORMAL) -> None:
        """Refuse new streams from now on, and tell the peer; open streams go on."""
        self._check_running()
        if not self.local_go_away:
            self.local_go_away = True
            self._outbox.go_away(code)

    def end_session(self, error: LinkError) -> None:
        """End the session for a reason outside of it; nothing is sent from now on. The caller ends the streams."""
        if self.error is None:
            self.error = error

    # Incoming.

    def receive_data(
        self, data: bytes | bytearray | memoryview, now: float = 0.0, work: int = UNLIMITED
    ) -> list[SessionEvent]:
        """Take bytes from the connection and give the events that they cause.

        Args:
            data: the bytes; they are not kept.
            now: the time.
            work: how many frames to take at most; a stream that is opened counts for 8 more. The caller gives the
                bytes behind `taken` again.
        """
        self.now = now
        self.taken = len(data)
        if not self.ended:
            taken = 0
            try:
                taken = self._reader.feed(data, work)
                if self._outbox.waiting_control > MAX_UNREAD_CONTROL:
                    raise Violation(f"more than {MAX_UNREAD_CONTROL} bytes of answers wait for the peer to read them")
            except Violation as violation:
                self._fail(ProtocolViolation(str(violation)))
            if not self.ended:
                self.taken = taken
        return self.take_events()

    def receive_eof(self) -> list[SessionEvent]:
        """End the session, because the peer has closed the connection, with or without a go-away."""
        if self.error is None:
            if self._reader.within_frame:
                self._fail(ProtocolViolation("the connection ended within a frame"), send_go_away=False)
            else:
                self._fail(SessionClosed("the peer closed the connection"), send_go_away=False)
        return self.take_events()

    def take_events(self) -> list[SessionEvent]:
        """Give the events that have not been given yet, such as those that sending has caused."""
        events = self._events
        if events:
            self._events = []
        return events

    def _receive_payload(self, data: memoryview, last: bool) -> None:
        stream = self._payload_stream
        if stream is None or stream.receiving is ENDED:
            return
        self._events.append(DataReceived(stream, bytes(data)))
        if last and self._payload_ends:
            self._receive_fin(stream)

    def _receive_session_frame(self, kind: int, flags: int, value: int) -> None:
        if kind == PING:
            self._receive_ping(flags, value)
        else:
            self._receive_go_away(value)

    def _receive_stream_frame(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        stream = self.streams.get(stream_id)
        if flags & SYN:
            stream = self._receive_syn(kind, flags, stream_id, length)
        if stream is None:
            self._receive_stray_frame(kind, flags, stream_id, length)
            return
        if kind == DATA:
            if length > stream.receive_window:
                raise _over_window(kind, flags, stream_id, length, stream.receive_window)
            self._payload_stream = stream
            self._payload_ends = flags & FIN
        if flags & ACK:
            self._receive_ack(stream)
        if flags & RST:
            error = StreamReset(f"stream {stream_id} was reset by the peer")
            self._events.append(StreamWasReset(stream, error))
            self._forget(stream)
            if self.now - stream.credited_at < YOUNG:
                self._rates.useless_stream(self.now)
        elif stream.receiving is ENDED and (kind == DATA or flags & FIN):
            error = StreamReset(f"{describe(kind, flags, stream_id, length)}: it follows the FIN of the stream")
            self._events.append(StreamWasReset(stream, error))
            self.reset(stream)
        else:
            if kind == DATA:
                stream.receive_window -= length
            elif length:
                self._receive_credit(stream, flags, length)
            if flags & FIN:
                if kind != DATA or not length:
                    self._receive_fin(stream)
            elif not length and not flags:
                self._rates.idle_frame(self.now)

    def _receive_stray_frame(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        """Take a frame of a stream that has ended here, or that was refused."""
        if not flags & SYN and not self._was_opened(stream_id):
            raise Violation(f"{describe(kind, flags, stream_id, length)}: the stream was never opened")
        if kind == DATA:
            if length > self.config.max_stream_window_size:
                raise _over_window(kind, flags, stream_id, length, self.config.max_stream_window_size)
            self._payload_stream = None
        self._rates.idle_frame(self.now)

    def _was_opened(self, stream_id: int) -> bool:
        if self._peer.ids.owns(stream_id):
            return self._peer.ids.used(stream_id)
        return 0 < stream_id < self._next_id

    def _receive_syn(self, kind: int, flags: int, stream_id: int, length: int) -> Stream | None:
        self._peer.use_id(kind, flags, stream_id, length)
        self._reader.work -= STREAM_WORK
        if flags & RST:
            self._rates.useless_stream(self.now)
            return None
        if self.local_go_away or not self._peer.admit():
            self._outbox.reset(stream_id)
            self._rates.useless_stream(self.now)
            return None
        stream = self.streams[stream_id] = Stream(stream_id, SYN_RECEIVED, self.now)
        stream.held = STREAM_COST
        self._events.append(StreamOpened(stream))
        if self.accepting:
            self.accept(stream)
        return stream

    def _receive_ack(self, stream: Stream) -> None:
        if stream.handshake is SYN_SENT:
            stream.handshake = ESTABLISHED
            self._leave_backlog()
            self._events.append(StreamAcknowledged(stream))
        else:
            self._rates.idle_frame(self.now)

    def _receive_credit(self, stream: Stream, flags: int, length: int) -> None:
        window = stream.send_window + length
        if window > MAX_WINDOW:
            frame = describe(WINDOW_UPDATE, flags, stream.id, length)
            raise Violation(f"{frame}: with {stream.send_window} bytes left it passes the maximum of {MAX_WINDOW}")
        stream.send_window = window
        if stream.pending_size and not stream.queued:
            self._outbox.enqueue(stream)

    def _receive_fin(self, stream: Stream) -> None:
        stream.receiving = ENDED
        self._events.append(StreamEnded(stream))
        if stream.receive_window == stream.window and stream.id % 2 == self._peer.parity:
            self._rates.useless_stream(self.now)  # opened and ended without a byte
        if stream.sending is ENDED:
            self._forget(stream)

    def _receive_ping(self, flags: int, value: int) -> None:
        if flags == SYN:
            self._outbox.ping(ACK, value)
            self._rates.idle_frame(self.now)
        elif flags == ACK:
            rtt = self._pings.end(value, self.now)
            if rtt is None:
                self._rates.idle_frame(self.now)
                return
            self._growth.measured(rtt)
            if value == self._rtt_ping:
                self._rtt_ping = None
            else:
                self._events.append(PongReceived(value, rtt))
        else:
            raise Violation(f"{describe(PING, flags, 0, value)}: a ping has SYN, its answer ACK")

    def _receive_go_away(self, code: int) -> None:
        if code == GoAwayCode.NORMAL:
            self._rates.idle_frame(self.now)
            self.remote_go_away = True
            self._events.append(GoAwayReceived(GoAwayCode.NORMAL))
            for stream in self._backlog.take_backlogged():
                error = SessionClosed(f"stream {stream.id} was not opened: the peer has said go-away")
                self._events.append(StreamWasReset(stream, error))
                self._forget(stream)
        else:
            self._fail(SessionClosed(f"the peer ended the session for {describe_code(code)}"), send_go_away=False)

    # Outgoing.

    @property
    def has_output(self) -> bool:
        """Whether there is anything to send that is not deferred."""
        return bool(self._go_away_frame) if self.error is not None else self._outbox.has_frames

    @property
    def deferred(self) -> int:
        """Frames that are deferred because no one waits for them."""
        return self._outbox.deferred

    def flush_deferred(self) -> None:
        """Let `data_to_send` send the frames that were deferred."""
        self._outbox.flush_deferred()

    def data_to_send(self, limit: int = MAX_FRAME) -> list[bytes | memoryview]:
        """Give what is to be written to the connection, in order.

        Args:
            limit: bytes after which no further frame is begun.

        Returns:
            Chunks; an empty list when there is nothing to send.
        """
        if self.error is None:
            return self._outbox.take(limit)
        frame, self._go_away_frame = self._go_away_frame, b""
        return [frame] if frame else []

    def _fail(self, error: LinkError, *, send_go_away: bool = True) -> None:
        self.error = error
        self._reader.work = 0
        self._outbox.clear()
        if send_go_away:
            self._go_away_frame = pack_header(GO_AWAY, 0, 0, GoAwayCode.PROTOCOL_ERROR)
        self._events.append(SessionEnded(error))


def _over_window(kind: int, flags: int, stream_id: int, length: int, window: int) -> Violation:
    return Violation(f"{describe(kind, flags, stream_id, length)}: the window has {window} bytes left")
