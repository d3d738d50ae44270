"""A yamux session: bytes of a peer, with calls of our own in between, and what holds of it after each step."""

from __future__ import annotations

from plugmux.errors import SessionClosed, StreamClosed
from plugmux.yamux import (
    Config,
    DataReceived,
    LinkMemory,
    MemoryPool,
    Session,
    SessionEvent,
    StreamOpened,
    StreamWasReset,
)
from plugmux.yamux.frame import GO_AWAY, HEADER_SIZE, unpack_header

CONFIG = Config(accept_backlog=4, max_streams=16, max_stream_window_size=1 << 20, max_resets=50, max_idle_frames=100)
LIMIT = 1 << 20


class Driven:
    """A session, and whoever drives it."""

    def __init__(self, options: int) -> None:
        self.pool = MemoryPool(4 * LIMIT)
        memory = LinkMemory(self.pool, LIMIT)
        memory.join()
        self.session = Session(client=bool(options & 1), config=CONFIG, memory=memory)
        self.session.accepting = bool(options & 2)
        self.work = 3 if options & 4 else 1 << 30
        self.keeps = bool(options & 8)
        self.time = 0.0

    def receive(self, data: bytes) -> None:
        """Take bytes, as many turns as it needs."""
        while True:
            self.time += 0.001
            self.handle(self.session.receive_data(data, self.time, self.work))
            data = data[self.session.taken :]
            if not data:
                return

    def handle(self, events: list[SessionEvent]) -> None:
        for event in events:
            if isinstance(event, StreamOpened):
                event.stream.owner = self
            elif isinstance(event, StreamWasReset):
                self.session.memory.release(event.stream)
            elif isinstance(event, DataReceived) and event.stream.owner is not None:
                if self.keeps and not self.session.memory.hold(event.stream, len(event.data)):
                    self.session.reset(event.stream)
                    self.session.memory.release(event.stream)
                self.session.consume(event.stream, len(event.data))

    def act(self, code: int) -> None:
        """Do what one byte tells, on the stream that it tells."""
        session, streams = self.session, list(self.session.streams.values())
        stream = streams[code // 8 % len(streams)] if streams else None
        try:
            match code % 8:
                case 0:
                    session.open()
                case 1 if stream is not None:
                    session.send(stream, b"x" * code)
                case 2 if stream is not None:
                    session.end(stream)
                case 3 if stream is not None:
                    session.reset(stream)
                    session.memory.release(stream)
                case 4 if stream is not None:
                    session.accept(stream)
                case 5:
                    session.ping()
                case 6:
                    session.flush_deferred()
                case 7 if stream is not None:
                    session.memory.release(stream)
                    session.grant_withheld_credit()
        except (SessionClosed, StreamClosed):
            pass  # what a caller is told who comes too late
        self.handle(session.take_events())

    def check(self) -> None:
        """See that what goes out is frames, and that behind the end there is the go-away alone."""
        ended = self.session.error is not None
        sent = b"".join(self.session.data_to_send(1 << 30))
        self.handle(self.session.take_events())
        frames = 0
        while sent:
            _, kind, _, _, length = unpack_header(sent)
            sent = sent[HEADER_SIZE + (0 if kind else length) :]
            frames += 1
            assert not ended or (kind == GO_AWAY and frames == 1)
        memory = self.session.memory
        assert 0 <= memory.held == self.pool.held
        assert memory.held <= LIMIT or ended
        assert all(stream.receive_window >= 0 <= stream.send_window for stream in self.session.streams.values())
        assert len(self.session.streams) <= CONFIG.max_streams + 256


def check(data: bytes) -> None:
    """The first byte chooses the session; then a length, so many bytes of the peer's, and a call of ours, in turn."""
    driven = Driven(data[0] if data else 0)
    position = 1
    while position < len(data):
        size = data[position]
        driven.receive(data[position + 1 : position + 1 + size])
        position += 1 + size
        if position < len(data):
            driven.act(data[position])
            position += 1
        driven.check()
    driven.session.receive_eof()
    assert driven.session.error is not None
    driven.check()
    for stream in list(driven.session.streams.values()):
        driven.session.memory.release(stream)
