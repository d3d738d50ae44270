"""The streams of a session: how one is opened, sends, is credited and ends, and what that puts into the outbox."""

from __future__ import annotations

from typing import Final

from ..errors import LinkError, SessionClosed, StreamClosed
from .config import Config
from .flow import LinkMemory, WindowGrowth
from .frame import INITIAL_WINDOW, MAX_STREAM_ID, SYN
from .outbox import Backlog, Outbox
from .peer import PeerRates, PeerStreams, Pings
from .state import (
    ACK_PENDING,
    BACKLOGGED,
    ENDED,
    ENDING,
    ESTABLISHED,
    OPEN,
    SYN_PENDING,
    SYN_RECEIVED,
    SYN_SENT,
    SessionEvent,
    Stream,
    StreamDrained,
    StreamFinished,
)

__all__ = ["SessionStreams"]

_IN_BACKLOG: Final = (SYN_PENDING, SYN_SENT)
_SILENT: Final = (BACKLOGGED, SYN_PENDING, SYN_RECEIVED)


class SessionStreams:
    """The part of a `Session` that its caller drives stream by stream; the session itself adds what the peer sends.

    Args:
        client: whether this side opens the odd stream ids.
        config: the settings.
        now: the time, in seconds on any clock that does not go back.
        memory: what the session may hold.
    """

    def __init__(self, *, client: bool, config: Config, now: float, memory: LinkMemory) -> None:
        self.config = config
        self.now = now
        self.memory = memory
        self.streams: dict[int, Stream] = {}
        self.error: LinkError | None = None
        self.remote_go_away = False
        self._next_id = 1 if client else 2
        self._events: list[SessionEvent] = []
        self._outbox = Outbox(lambda stream: self._events.append(StreamDrained(stream)), self._finished)
        self._backlog = Backlog(config.accept_backlog)
        self._growth = WindowGrowth(config)
        self._peer = PeerStreams(2 if client else 1, config, memory)
        self._rates = PeerRates(config, now)
        self._pings = Pings()
        self._rtt_ping: int | None = None

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
        stream = Stream(self._next_id, SYN_PENDING, self.now)
        self._next_id += 2
        self.streams[stream.id] = stream
        self._backlog.enter(stream)
        self._outbox.enqueue(stream)
        self._growth.begin(stream, grow=not self.memory.tight)
        return stream

    def accept(self, stream: Stream) -> None:
        """Accept a stream that the peer opened; the ACK rides on the next frame, or goes with `flush_deferred`.

        Accepting a stream that is accepted already is harmless.
        """
        if stream.handshake is not SYN_RECEIVED or stream.ended:
            return
        self._peer.unaccepted -= 1
        self._outbox.defer_ack(stream)
        credit_is_due = stream.consumed >= stream.credit_step
        self._growth.begin(stream, grow=not self.memory.tight)
        if credit_is_due:  # for what was read while the stream waited in the backlog
            self._credit(stream)
        if stream.pending or stream.sending is ENDING:
            self._outbox.enqueue(stream)

    def send(self, stream: Stream, data: bytes) -> None:
        """Queue bytes on a stream.

        Raises:
            StreamClosed: this side has ended its half of the stream.
        """
        if stream.sending is not OPEN:
            raise StreamClosed(f"cannot write on stream {stream.id}: this end has closed it")
        stream.queue(data)
        if stream.send_window and not stream.queued:  # without a window, the stream is enqueued when credit comes
            self._outbox.enqueue(stream)

    def end(self, stream: Stream) -> None:
        """End our half of a stream: FIN follows the last byte that was queued. Ending twice is harmless."""
        if stream.sending is not OPEN:
            return
        stream.sending = ENDING
        peer_has_ended = stream.receiving is ENDED and stream.handshake is ESTABLISHED
        if peer_has_ended and not stream.pending_size:
            self._outbox.defer_fin(stream)
            self._finished(stream)
        else:
            self._outbox.enqueue(stream)

    def reset(self, stream: Stream) -> None:
        """End both halves of a stream at once and drop what is queued. Resetting an ended stream is harmless."""
        if stream.ended:
            return
        if stream.handshake not in (BACKLOGGED, SYN_PENDING):
            self._outbox.reset(stream.id)
            self._rates.reset_here()
        self._forget(stream)

    def consume(self, stream: Stream, size: int) -> None:
        """Report that the reader has taken `size` bytes, for which the peer is credited once it is worth a frame."""
        stream.consumed += size
        if stream.consumed >= stream.credit_step and stream.receiving is OPEN:
            self._credit(stream)

    def set_limits(self, memory: int, streams: int) -> None:
        """Set what the peer may take up: bytes of memory, and streams that it has open at once."""
        self.memory.limit = memory
        self._peer.limit = streams

    def grant_withheld_credit(self) -> None:
        """Give the credit that was withheld, as far as there is memory now."""
        for stream in self.memory.next_for_credit():
            if stream.receiving is OPEN:
                self._credit(stream)

    @property
    def ended(self) -> bool:
        """Whether the session has ended."""
        return self.error is not None

    @property
    def backlog_full(self) -> bool:
        """Whether a stream that is opened now would be held back."""
        return self.free_places <= 0

    @property
    def free_places(self) -> int:
        """Streams that can be opened now without being held back."""
        return self._backlog.free

    def ping(self) -> int:
        """Queue a ping and give its id, which comes back in a `PongReceived`."""
        self._check_running()
        ping_id = self._pings.begin(self.now)
        self._outbox.ping(SYN, ping_id)
        return ping_id

    def forget_ping(self, ping_id: int) -> None:
        """Ignore the answer to a ping."""
        self._pings.forget(ping_id)

    # What the session calls.

    def _credit(self, stream: Stream) -> None:
        if stream.handshake in _SILENT or self.error is not None:
            return  # the stream's first frame will carry the credit, or nothing is sent any more
        if not self.memory.may_credit(stream):
            return  # `grant_withheld_credit` gives it later
        if self._growth.wants_round_trip(stream) and self._rtt_ping is None:
            self._rtt_ping = self.ping()
        self._growth.refill(stream, self.now, grow=not self.memory.tight)
        self._outbox.credit(stream)

    def _finished(self, stream: Stream) -> None:
        stream.sending = ENDED
        self._events.append(StreamFinished(stream))
        if stream.receiving is ENDED:
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        """End what is left of a stream and take back all that it held."""
        del self.streams[stream.id]
        stream.sending = stream.receiving = ENDED
        stream.ended = True
        stream.pending = None
        stream.pending_size = 0
        if stream.window != INITIAL_WINDOW:
            self._growth.end(stream)
        if self.memory.stalled:
            self.memory.stalled.pop(stream, None)
        if stream.owner is None:
            self.memory.release(stream)
        if stream.id % 2 == self._peer.parity:
            self._peer.count -= 1
        if stream.handshake is not ESTABLISHED:
            self._abandon_handshake(stream)

    def _abandon_handshake(self, stream: Stream) -> None:
        if stream.handshake in _IN_BACKLOG:
            self._leave_backlog()
        elif stream.handshake is SYN_RECEIVED:
            self._peer.unaccepted -= 1
        elif stream.handshake is ACK_PENDING:
            self._outbox.forget(stream)
        stream.handshake = ESTABLISHED

    def _leave_backlog(self) -> None:
        released = self._backlog.leave()
        if released is not None:
            self._outbox.enqueue(released)

    def _check_running(self) -> None:
        if self.error is not None:
            raise SessionClosed(f"the session has ended: {self.error}") from self.error
