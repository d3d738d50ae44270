"""A yamux session without I/O: bytes in, events out; writes in, bytes out.

Theory of operation
-------------------
*Incoming.* `receive_data` walks the bytes frame by frame and gives a list of events. Payload is passed on as it comes,
without waiting for its frame to be complete, so nothing is buffered here but a part of a header. All checks are made on
the header, before a byte of payload is taken.

*Outgoing.* Whatever is sent is queued, and `data_to_send` turns queues into frames. It puts out, in this order: control
frames; then, round robin over the streams that have something to send and window to send it in, one frame of 64 KiB at
most each. SYN and ACK ride on a stream's first frame, whether that has payload or not; FIN goes right behind the last
payload. What nobody waits for (a lone ACK, or the FIN that answers a FIN) is put off until there is another
frame, or `send_owed` is called.

*Windows.* The peer may send a stream's `receive_window`. It is filled up again when half of it has been consumed, that
is reported by `consume`, never on arrival. `WindowGrowth` decides what it is filled up to.

*Faults.* What the peer does wrong never raises here: a fault of one stream resets that stream, any other ends the
session with a go-away that says "protocol error" and a `SessionEnded` event that names the frame and the rule. Calls
raise only for what the caller did wrong, or because the session or the stream has ended.

There is no clock: whoever drives the session passes the time of each input, and owns all time limits.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ..errors import LinkError, ProtocolViolation, SessionClosed, StreamClosed, StreamReset
from .config import Config
from .events import (
    DataReceived,
    Event,
    GoAwayReceived,
    PongReceived,
    SessionEnded,
    StreamAcknowledged,
    StreamDrained,
    StreamEnded,
    StreamFinished,
    StreamOpened,
    StreamWasReset,
)
from .frame import (
    ACK,
    DATA,
    FIN,
    FLAGS,
    GO_AWAY,
    HEADER_SIZE,
    INITIAL_WINDOW,
    MAX_STREAM_ID,
    MAX_WINDOW,
    PING,
    RST,
    SYN,
    VERSION,
    WINDOW_UPDATE,
    GoAwayCode,
    describe,
    pack_header,
    unpack_header,
)
from .ids import PeerIds
from .state import Half, Handshake, Stream
from .window import WindowGrowth

__all__ = ["Session"]

MAX_FRAME: Final = 64 * 1024
MAX_UNREAD_CONTROL: Final = 1024 * 1024

_PLACED: Final = (Handshake.SYN_OWED, Handshake.SYN_SENT)
_GO_AWAY_REASONS: Final[dict[int, str]] = {
    GoAwayCode.PROTOCOL_ERROR: "a protocol error",
    GoAwayCode.INTERNAL_ERROR: "an internal error",
}


class _Violation(Exception):
    """The frame at hand breaks a rule; the message is the rule."""


class Session:
    """The state machine of one side of a yamux connection.

    Args:
        client: whether this side opens the odd stream ids.
        config: its settings.
        now: the time, in seconds on any clock that does not go back.

    Attributes:
        streams: the streams that have not ended, by id.
        error: why the session has ended; `None` while it has not.
        remote_go_away: whether the peer refuses new streams.
        local_go_away: whether this side refuses new streams.
        now: the time of the last input.
    """

    def __init__(self, *, client: bool, config: Config | None = None, now: float = 0.0) -> None:
        self.config = config = config or Config()
        self.now = now
        self.streams: dict[int, Stream] = {}
        self.error: LinkError | None = None
        self.remote_go_away = False
        self.local_go_away = False
        self._next_id = 1 if client else 2
        self._peer_ids = PeerIds(2 if client else 1)
        self._peer_streams = 0
        self._growth = WindowGrowth(config)
        self._events: list[Event] = []
        # Incoming: a part of a header; or a data frame whose payload is still coming.
        self._header = bytearray()
        self._payload_stream: Stream | None = None
        self._payload_left = 0
        self._payload_ends = False
        # Outgoing.
        self._control = bytearray()
        self._owed_frames = bytearray()
        self._owed_acks: dict[Stream, None] = {}
        self._ready: deque[Stream] = deque()
        # The backlogs: our streams that wait for an ACK or for a place, and theirs that wait for being accepted.
        self._placed = 0
        self._held: deque[Stream] = deque()
        self._unaccepted = 0
        self._ping_id = 0
        self._pings: dict[int, float] = {}
        self._rtt_ping: int | None = None

    # Streams.

    def open(self) -> Stream:
        """Open a stream; its SYN rides on the first frame that is sent on it.

        While the peer's backlog is full, what is sent is held back until the peer acknowledges another stream.

        Raises:
            SessionClosed: the session has ended, the peer has said go-away, or the ids are used up.
        """
        self._check_running()
        if self.remote_go_away:
            raise SessionClosed("cannot open a stream: the peer has said go-away; connect again")
        if self._next_id > MAX_STREAM_ID:
            raise SessionClosed("cannot open a stream: the session has used up its stream ids; connect again")
        stream = Stream(self._next_id, Handshake.SYN_OWED, self.now)
        self._next_id += 2
        self.streams[stream.id] = stream
        if self._placed < self.config.accept_backlog:
            self._placed += 1
            self._enqueue(stream)
        else:
            stream.handshake = Handshake.HELD
            self._held.append(stream)
        self._widen(stream)
        return stream

    def accept(self, stream: Stream) -> None:
        """Accept a stream that the peer opened; the ACK rides on the next frame, or goes with `send_owed`."""
        if stream.handshake is not Handshake.SYN_RECEIVED or stream.ended:
            return
        stream.handshake = Handshake.ACK_OWED
        self._unaccepted -= 1
        self._owed_acks[stream] = None
        self._widen(stream)
        if stream.pending or stream.sending is Half.ENDING:
            self._enqueue(stream)

    def send(self, stream: Stream, data: bytes) -> None:
        """Queue bytes on a stream.

        Raises:
            StreamClosed: this side has ended its half of the stream.
        """
        if stream.sending is not Half.OPEN:
            raise StreamClosed(f"cannot write on stream {stream.id}: this end has closed it")
        if stream.pending is None:
            stream.pending = deque()
        stream.pending.append(data)
        stream.pending_size += len(data)
        if not stream.queued:
            self._enqueue(stream)

    def end(self, stream: Stream) -> None:
        """End our half of a stream: FIN follows the last byte that was queued. Ending twice is harmless."""
        if stream.sending is not Half.OPEN:
            return
        stream.sending = Half.ENDING
        answered = stream.receiving is Half.ENDED and stream.handshake is Handshake.ESTABLISHED
        if answered and not stream.pending_size:
            self._owed_frames += pack_header(WINDOW_UPDATE, FIN, stream.id, 0)
            self._end_sending(stream)
        else:
            self._enqueue(stream)

    def reset(self, stream: Stream) -> None:
        """End both halves of a stream at once and drop what is queued. Resetting an ended stream is harmless."""
        if stream.ended:
            return
        if stream.handshake not in (Handshake.HELD, Handshake.SYN_OWED):
            self._control += pack_header(WINDOW_UPDATE, RST, stream.id, 0)
        self._forget(stream)

    def consume(self, stream: Stream, size: int) -> None:
        """Report that the reader has taken `size` bytes, for which the peer is credited once it is worth a frame."""
        stream.consumed += size
        if stream.consumed * 2 >= stream.window and stream.receiving is Half.OPEN:
            self._credit(stream)

    @property
    def backlog_full(self) -> bool:
        """Whether a stream that is opened now would be held back."""
        return self.free_places <= 0

    @property
    def free_places(self) -> int:
        """Streams that can be opened now without being held back."""
        return self.config.accept_backlog - self._placed

    # The session.

    def ping(self) -> int:
        """Queue a ping and give its id, which comes back in a `PongReceived`."""
        self._check_running()
        ping_id = self._ping_id
        self._ping_id = (ping_id + 1) & 0xFFFFFFFF
        self._pings[ping_id] = self.now
        self._control += pack_header(PING, SYN, 0, ping_id)
        return ping_id

    def forget_ping(self, ping_id: int) -> None:
        """Take no more notice of the answer to a ping."""
        self._pings.pop(ping_id, None)

    def go_away(self, code: GoAwayCode = GoAwayCode.NORMAL) -> None:
        """Refuse new streams from now on, and tell the peer; open streams go on."""
        self._check_running()
        if not self.local_go_away:
            self.local_go_away = True
            self._control += pack_header(GO_AWAY, 0, 0, code)

    def end_session(self, error: LinkError) -> None:
        """End the session for a reason outside of it; the streams are left to the caller. Nothing is sent any more."""
        if self.error is None:
            self.error = error

    # Incoming.

    def receive_data(self, data: bytes | bytearray | memoryview, now: float = 0.0) -> list[Event]:
        """Take bytes from the connection and tell what they mean.

        Args:
            data: the bytes; they are not kept.
            now: the time.
        """
        self.now = now
        if self.error is None:
            try:
                self._parse(memoryview(data))
                if len(self._control) > MAX_UNREAD_CONTROL:
                    raise _Violation(f"more than {MAX_UNREAD_CONTROL} bytes of answers wait for the peer to read them")
            except _Violation as violation:
                self._fail(ProtocolViolation(str(violation)))
        return self.take_events()

    def receive_eof(self) -> list[Event]:
        """Take note that the connection has ended on the peer's side, with or without a go-away."""
        if self.error is None:
            if self._header or self._payload_left:
                self._fail(ProtocolViolation("the connection ended within a frame"), tell=False)
            else:
                self._fail(SessionClosed("the peer closed the connection"), tell=False)
        return self.take_events()

    def take_events(self) -> list[Event]:
        """Give the events that have not been given, those that sending has brought about."""
        events = self._events
        if events:
            self._events = []
        return events

    def _parse(self, view: memoryview) -> None:
        position = 0
        size = len(view)
        while position < size and self.error is None:
            if self._payload_left:
                end = min(position + self._payload_left, size)
                self._receive_payload(view, position, end)
                position = end
            elif self._header or size - position < HEADER_SIZE:
                end = min(position + HEADER_SIZE - len(self._header), size)
                self._header += view[position:end]
                position = end
                if len(self._header) == HEADER_SIZE:
                    fields = unpack_header(self._header)
                    self._header.clear()
                    self._receive_frame(*fields)
            else:
                fields = unpack_header(view, position)
                position += HEADER_SIZE
                self._receive_frame(*fields)

    def _receive_payload(self, view: memoryview, start: int, end: int) -> None:
        stream = self._payload_stream
        self._payload_left -= end - start
        if stream is None or stream.receiving is Half.ENDED:
            return
        self._events.append(DataReceived(stream, bytes(view[start:end])))
        if self._payload_ends and not self._payload_left:
            self._receive_fin(stream)

    def _receive_frame(self, version: int, kind: int, flags: int, stream_id: int, length: int) -> None:
        if version != VERSION or flags & ~FLAGS:
            what = f"version {version}" if version != VERSION else f"flags {flags:#06x}"
            raise _Violation(f"{describe(kind, flags, stream_id, length)}: {what} is not known")
        if kind <= WINDOW_UPDATE:
            self._receive_stream_frame(kind, flags, stream_id, length)
        elif stream_id:
            raise _Violation(f"{describe(kind, flags, stream_id, length)}: only stream 0 can be meant")
        elif kind == PING:
            self._receive_ping(flags, length)
        elif kind == GO_AWAY:
            self._receive_go_away(length)
        else:
            raise _Violation(f"{describe(kind, flags, stream_id, length)}: type {kind} is not known")

    def _receive_stream_frame(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        stream = self.streams.get(stream_id)
        if flags & SYN:
            stream = self._receive_syn(kind, flags, stream_id, length)
        elif stream is None and not self._was_opened(stream_id):
            raise _Violation(f"{describe(kind, flags, stream_id, length)}: the stream was never opened")
        if kind == DATA:
            allowed = self.config.max_stream_window_size if stream is None else stream.receive_window
            if length > allowed:
                raise _Violation(f"{describe(kind, flags, stream_id, length)}: the window has {allowed} bytes left")
            self._payload_stream = stream
            self._payload_left = length
            self._payload_ends = bool(flags & FIN)
        if stream is None:
            return
        if flags & ACK:
            self._receive_ack(stream)
        if flags & RST:
            error = StreamReset(f"stream {stream_id} was reset by the peer")
            self._events.append(StreamWasReset(stream, error))
            self._forget(stream)
        elif stream.receiving is Half.ENDED and (kind == DATA or flags & FIN):
            error = StreamReset(f"{describe(kind, flags, stream_id, length)}: it follows the FIN of the stream")
            self._events.append(StreamWasReset(stream, error))
            self.reset(stream)
        elif kind == DATA:
            stream.receive_window -= length
            if flags & FIN and not length:
                self._receive_fin(stream)
        else:
            self._receive_credit(stream, flags, length)
            if flags & FIN:
                self._receive_fin(stream)

    def _was_opened(self, stream_id: int) -> bool:
        if self._peer_ids.owns(stream_id):
            return self._peer_ids.used(stream_id)
        return 0 < stream_id < self._next_id

    def _receive_syn(self, kind: int, flags: int, stream_id: int, length: int) -> Stream | None:
        if not self._peer_ids.owns(stream_id):
            raise _Violation(f"{describe(kind, flags, stream_id, length)}: the id is not one of the peer's")
        if self._peer_ids.used(stream_id):
            raise _Violation(f"{describe(kind, flags, stream_id, length)}: the id has been used before")
        self._peer_ids.use(stream_id)
        if kind == DATA and length > INITIAL_WINDOW:
            raise _Violation(f"{describe(kind, flags, stream_id, length)}: a new window has {INITIAL_WINDOW} bytes")
        if flags & RST:
            return None
        full = self._unaccepted >= self.config.accept_backlog or self._peer_streams >= self.config.max_streams
        if self.local_go_away or full:
            self._control += pack_header(WINDOW_UPDATE, RST, stream_id, 0)
            return None
        stream = self.streams[stream_id] = Stream(stream_id, Handshake.SYN_RECEIVED, self.now)
        self._unaccepted += 1
        self._peer_streams += 1
        self._events.append(StreamOpened(stream))
        return stream

    def _receive_ack(self, stream: Stream) -> None:
        if stream.handshake is Handshake.SYN_SENT:
            stream.handshake = Handshake.ESTABLISHED
            self._release_place()
            self._events.append(StreamAcknowledged(stream))

    def _receive_credit(self, stream: Stream, flags: int, length: int) -> None:
        window = stream.send_window + length
        if window > MAX_WINDOW:
            frame = describe(WINDOW_UPDATE, flags, stream.id, length)
            raise _Violation(f"{frame}: with {stream.send_window} bytes left it passes the maximum of {MAX_WINDOW}")
        stream.send_window = window
        if stream.pending_size and not stream.queued:
            self._enqueue(stream)

    def _receive_fin(self, stream: Stream) -> None:
        stream.receiving = Half.ENDED
        self._events.append(StreamEnded(stream))
        if stream.sending is Half.ENDED:
            self._forget(stream)

    def _receive_ping(self, flags: int, value: int) -> None:
        if flags == SYN:
            self._control += pack_header(PING, ACK, 0, value)
        elif flags == ACK:
            asked = self._pings.pop(value, None)
            if asked is None:
                return
            rtt = self.now - asked
            self._growth.measured(rtt)
            if value == self._rtt_ping:
                self._rtt_ping = None
            else:
                self._events.append(PongReceived(value, rtt))
        else:
            raise _Violation(f"{describe(PING, flags, 0, value)}: a ping has SYN, its answer ACK")

    def _receive_go_away(self, code: int) -> None:
        if code == GoAwayCode.NORMAL:
            self.remote_go_away = True
            self._events.append(GoAwayReceived(GoAwayCode.NORMAL))
            for stream in self._held:
                if not stream.ended:
                    error = SessionClosed(f"stream {stream.id} was not sent: the peer has said go-away")
                    self._events.append(StreamWasReset(stream, error))
                    self._forget(stream)
            self._held.clear()
        else:
            reason = _GO_AWAY_REASONS.get(code, f"the unknown code {code}")
            self._fail(SessionClosed(f"the peer ended the session for {reason}"), tell=False)

    # Outgoing.

    @property
    def wants_to_send(self) -> bool:
        """Whether `data_to_send` has something to give."""
        return bool(self._control or self._ready)

    @property
    def owes(self) -> int:
        """Frames that are put off because nobody waits for them."""
        return len(self._owed_acks) + len(self._owed_frames) // HEADER_SIZE

    def send_owed(self) -> None:
        """Let `data_to_send` put out what was put off."""
        self._control += self._owed_frames
        self._owed_frames.clear()
        for stream in self._owed_acks:
            self._enqueue(stream)

    def data_to_send(self, limit: int = MAX_FRAME) -> list[bytes | memoryview]:
        """Give what is to be written to the connection, in order.

        Args:
            limit: bytes after which no further frame is begun.

        Returns:
            Chunks; an empty list when there is nothing to send.
        """
        chunks: list[bytes | memoryview] = []
        if not self._control and not self._ready:
            return chunks
        size = len(self._control) + len(self._owed_frames)
        if size:
            chunks.append(bytes(self._control + self._owed_frames))
            self._control.clear()
            self._owed_frames.clear()
        ready = self._ready
        while ready and size < limit:
            stream = ready.popleft()
            stream.queued = False
            if stream.sending is not Half.ENDED:
                size += self._put_frame(stream, chunks)
        return chunks

    def _put_frame(self, stream: Stream, chunks: list[bytes | memoryview]) -> int:
        """Append the next frame of a stream, and give its size."""
        flags = 0 if stream.handshake is Handshake.ESTABLISHED else self._take_flags(stream, chunks)
        position = len(chunks)
        length = 0
        if stream.pending_size and stream.send_window:
            chunks.append(b"")
            length = _take_payload(stream, chunks)
            if stream.pending_size <= stream.notify_at:
                stream.notify_at = -1
                self._events.append(StreamDrained(stream))
        if length:
            chunks[position] = pack_header(DATA, flags, stream.id, length)
            flags = 0
            if stream.pending_size and stream.send_window:
                self._enqueue(stream)
        if stream.sending is Half.ENDING and not stream.pending_size:
            # Never on a frame with payload: hashicorp/yamux ends the stream before it stores the payload, and a reader
            # that looks in between takes the end for the end.
            flags |= FIN
            self._end_sending(stream)
        if flags:
            chunks.append(pack_header(WINDOW_UPDATE, flags, stream.id, 0))
        return HEADER_SIZE + length

    def _take_flags(self, stream: Stream, chunks: list[bytes | memoryview]) -> int:
        """Move the handshake on for the next frame of a stream; a larger window is announced with it."""
        flags = 0
        if stream.handshake is Handshake.SYN_OWED:
            stream.handshake = Handshake.SYN_SENT
            flags = SYN
        elif stream.handshake is Handshake.ACK_OWED:
            stream.handshake = Handshake.ESTABLISHED
            del self._owed_acks[stream]
            flags = ACK
        else:
            return 0
        if stream.window == INITIAL_WINDOW or stream.receiving is Half.ENDED:
            return flags
        chunks.append(self._put_credit(stream, flags))
        return 0

    def _credit(self, stream: Stream) -> None:
        growth = self._growth
        if growth.may_grow(stream.window):
            if growth.rtt is None and self._rtt_ping is None and self.error is None:
                self._rtt_ping = self.ping()
            before = stream.window
            stream.window = growth.next_size(before, self.now - stream.credited_at)
            stream.consumed += stream.window - before
        stream.credited_at = self.now
        flags = 0
        if stream.handshake is Handshake.ACK_OWED:
            stream.handshake = Handshake.ESTABLISHED
            del self._owed_acks[stream]
            flags = ACK
        self._control += self._put_credit(stream, flags)

    def _put_credit(self, stream: Stream, flags: int) -> bytes:
        credit = stream.consumed
        stream.consumed = 0
        stream.receive_window += credit
        return pack_header(WINDOW_UPDATE, flags, stream.id, credit)

    # The life of a stream.

    def _widen(self, stream: Stream) -> None:
        """Start a stream with the window that is configured; what it has above the wire's is credit to be told."""
        if self.config.stream_window_size > INITIAL_WINDOW:
            stream.window = self._growth.take(INITIAL_WINDOW, self.config.stream_window_size)
            stream.consumed += stream.window - INITIAL_WINDOW

    def _enqueue(self, stream: Stream) -> None:
        if not stream.queued and stream.handshake not in (Handshake.HELD, Handshake.SYN_RECEIVED):
            stream.queued = True
            self._ready.append(stream)

    def _end_sending(self, stream: Stream) -> None:
        stream.sending = Half.ENDED
        self._events.append(StreamFinished(stream))
        if stream.receiving is Half.ENDED:
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        """End what is left of a stream and take back all that it held."""
        del self.streams[stream.id]
        stream.sending = stream.receiving = Half.ENDED
        stream.pending = None
        stream.pending_size = 0
        if stream.window > INITIAL_WINDOW:
            self._growth.give_back(stream.window - INITIAL_WINDOW)
        if self._peer_ids.owns(stream.id):
            self._peer_streams -= 1
        if stream.handshake in _PLACED:
            self._release_place()
        elif stream.handshake is Handshake.SYN_RECEIVED:
            self._unaccepted -= 1
        elif stream.handshake is Handshake.ACK_OWED:
            del self._owed_acks[stream]
        stream.handshake = Handshake.ESTABLISHED

    def _release_place(self) -> None:
        """Give a place in the peer's backlog to the stream that has waited longest for one."""
        while self._held:
            stream = self._held.popleft()
            if not stream.ended:
                stream.handshake = Handshake.SYN_OWED
                self._enqueue(stream)
                return
        self._placed -= 1

    def _check_running(self) -> None:
        if self.error is not None:
            raise SessionClosed(f"the session has ended: {self.error}") from self.error

    def _fail(self, error: LinkError, *, tell: bool = True) -> None:
        self.error = error
        self._ready.clear()
        self._control.clear()
        self._owed_frames.clear()
        if tell:
            self._control += pack_header(GO_AWAY, 0, 0, GoAwayCode.PROTOCOL_ERROR)
        self._events.append(SessionEnded(error))


def _take_payload(stream: Stream, chunks: list[bytes | memoryview]) -> int:
    """Move the payload of one frame from a stream's queue to `chunks`, and give its size."""
    pending = stream.pending
    assert pending is not None
    room = size = min(stream.send_window, stream.pending_size, MAX_FRAME)
    while room:
        chunk = pending[0]
        if len(chunk) <= room:
            chunks.append(chunk)
            pending.popleft()
            room -= len(chunk)
        else:
            rest = memoryview(chunk)
            chunks.append(rest[:room])
            pending[0] = rest[room:]
            room = 0
    if not pending:
        stream.pending = None
    stream.pending_size -= size
    stream.send_window -= size
    return size
