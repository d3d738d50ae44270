"""Two sessions on a link that delays, splits and joins bytes at will, held against a model of what streams are.

The model is small: per stream and direction, the bytes that were written, and how the direction ended. Whatever the
interleaving, no byte is lost, doubled or out of place, no window is overrun, every stream ends, and nothing is left.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from plugmux.yamux import (
    Config,
    DataReceived,
    Half,
    Handshake,
    Session,
    SessionEnded,
    SessionEvent,
    Stream,
    StreamEnded,
    StreamOpened,
    StreamWasReset,
)
from plugmux.yamux.frame import INITIAL_WINDOW

LARGE = INITIAL_WINDOW + 100_000
PATTERN = bytes(range(251)) * (LARGE // 251 + 2)


@dataclass
class Direction:
    """One direction of a stream, as the model knows it."""

    written: int = 0
    received: int = 0
    consumed: int = 0
    fin_written: bool = False
    fin_received: bool = False


@dataclass
class Side:
    """One session, the bytes under way to it, and what it has been told."""

    session: Session
    wire: bytearray = field(default_factory=bytearray)
    streams: dict[int, Stream] = field(default_factory=dict)
    incoming: dict[int, Direction] = field(default_factory=dict)
    reset: set[int] = field(default_factory=set)


class Link(RuleBasedStateMachine):
    """The machine: rules act on either side at random."""

    opened: Bundle[tuple[int, int]] = Bundle("opened")
    sides = st.integers(0, 1)
    sizes = st.one_of(st.integers(0, 3), st.integers(0, 5000), st.sampled_from([65_536, 65_537, INITIAL_WINDOW, LARGE]))

    @initialize(
        windows=st.tuples(*[st.sampled_from([INITIAL_WINDOW, INITIAL_WINDOW + 1000, 1_000_000])] * 2),
        backlog=st.integers(1, 4),
    )
    def begin(self, windows: tuple[int, int], backlog: int) -> None:
        self.now = 0.0
        self.sides_ = [
            Side(
                Session(
                    client=client,
                    config=Config(stream_window_size=window, max_stream_window_size=2_000_000, accept_backlog=backlog),
                )
            )
            for client, window in zip((True, False), windows, strict=True)
        ]
        self.backlog = backlog

    # What the programs do.

    @rule(target=opened, side=sides)
    def open(self, side: int) -> Any:
        ours, theirs = self.sides_[side], self.sides_[1 - side]
        if len(ours.session.streams) > 12:
            return multiple()
        stream = ours.session.open()
        ours.streams[stream.id] = stream
        ours.incoming[stream.id] = Direction()
        theirs.incoming[stream.id] = Direction()
        return side, stream.id

    @rule(stream=opened, side=sides, size=sizes)
    def write(self, stream: tuple[int, int], side: int, size: int) -> None:
        ours, theirs = self.sides_[side], self.sides_[1 - side]
        known = ours.streams.get(stream[1])
        if known is None or known.sending is not Half.OPEN or not size:
            return
        direction = theirs.incoming[known.id]
        start = direction.written % 251
        ours.session.send(known, PATTERN[start : start + size])
        direction.written += size

    @rule(stream=opened, side=sides)
    def end(self, stream: tuple[int, int], side: int) -> None:
        known = self.sides_[side].streams.get(stream[1])
        if known is not None:
            if known.sending is Half.OPEN:
                self.sides_[1 - side].incoming[known.id].fin_written = True
            self.sides_[side].session.end(known)

    @rule(stream=consumes(opened), side=sides)
    def abort(self, stream: tuple[int, int], side: int) -> None:
        known = self.sides_[side].streams.get(stream[1])
        if known is not None and not known.ended:
            self.sides_[side].session.reset(known)
            self.sides_[side].reset.add(known.id)

    @rule(stream=opened, side=sides, share=st.floats(0, 1))
    def read(self, stream: tuple[int, int], side: int, share: float) -> None:
        ours = self.sides_[side]
        known = ours.streams.get(stream[1])
        if known is not None:
            direction = ours.incoming[known.id]
            size = round((direction.received - direction.consumed) * share)
            direction.consumed += size
            ours.session.consume(known, size)

    @rule(side=sides)
    def accept(self, side: int) -> None:
        session = self.sides_[side].session
        for stream in list(session.streams.values()):
            if stream.handshake is Handshake.SYN_RECEIVED:
                session.accept(stream)

    @rule(side=sides)
    def ping(self, side: int) -> None:
        self.sides_[side].session.ping()

    # What the link does.

    @rule(side=sides, limit=st.sampled_from([1, 70_000, 2**20]), deferred=st.booleans())
    def put_out(self, side: int, limit: int, deferred: bool) -> None:
        session = self.sides_[side].session
        if deferred:
            session.flush_deferred()
        self.sides_[1 - side].wire += b"".join(session.data_to_send(limit))
        self.note(side, session.take_events())

    @rule(side=sides, share=st.floats(0, 1), pieces=st.integers(1, 4), delay=st.floats(0, 1))
    def deliver(self, side: int, share: float, pieces: int, delay: float) -> None:
        ours = self.sides_[side]
        self.now += delay
        size = round(len(ours.wire) * share)
        data = bytes(ours.wire[:size])
        del ours.wire[:size]
        step = size // pieces + 1
        for start in range(0, size, step):
            self.note(side, ours.session.receive_data(data[start : start + step], self.now))

    def note(self, side: int, events: list[SessionEvent]) -> None:
        ours = self.sides_[side]
        for event in events:
            match event:
                case SessionEnded():
                    raise AssertionError(event.error)
                case StreamOpened():
                    assert event.stream.id not in ours.streams
                    ours.streams[event.stream.id] = event.stream
                case DataReceived():
                    direction = ours.incoming[event.stream.id]
                    start = direction.received % 251
                    assert event.data == PATTERN[start : start + len(event.data)], "a byte is out of its place"
                    assert not direction.fin_received
                    direction.received += len(event.data)
                    assert direction.received <= direction.written
                case StreamEnded():
                    direction = ours.incoming[event.stream.id]
                    assert direction.fin_written
                    assert direction.received == direction.written, "the end came before the last byte"
                    direction.fin_received = True
                case StreamWasReset():
                    assert event.stream.id not in ours.reset
                    ours.reset.add(event.stream.id)

    # What must hold.

    @invariant()
    def windows_hold(self) -> None:
        for side in getattr(self, "sides_", ()):
            for stream in side.session.streams.values():
                assert stream.send_window >= 0
                assert stream.receive_window >= 0
                direction = side.incoming[stream.id]
                unread = direction.received - direction.consumed
                assert unread + stream.receive_window <= stream.window, "more is promised than the window holds"

    @invariant()
    def the_backlog_holds(self) -> None:
        for side in getattr(self, "sides_", ()):
            waiting = [s for s in side.session.streams.values() if s.handshake is Handshake.SYN_RECEIVED]
            assert len(waiting) <= self.backlog
            placed = [
                s for s in side.session.streams.values() if s.handshake in (Handshake.SYN_PENDING, Handshake.SYN_SENT)
            ]
            assert side.session.free_places == self.backlog - len(placed)

    def teardown(self) -> None:
        """Let both programs read all and end all: then everything that was not reset has arrived, and all ends."""
        if not hasattr(self, "sides_"):
            return
        for number, side in enumerate(self.sides_):
            for stream in list(side.session.streams.values()):
                if stream.sending is Half.OPEN:
                    self.end((0, stream.id), number)
        for _ in range(100):
            for number in (0, 1):
                self.accept(number)
                for stream in list(self.sides_[number].session.streams.values()):
                    self.end((0, stream.id), number)
                    self.read((0, stream.id), number, 1)
                self.put_out(number, 2**20, True)
            quiet = not any(side.wire for side in self.sides_)
            for number in (0, 1):
                self.deliver(number, 1, 1, 0)
            if quiet:
                break
        for number, side in enumerate(self.sides_):
            assert not side.session.streams
            assert not side.session.deferred
            assert side.session.data_to_send() == []
            assert side.session.free_places == self.backlog
            assert side.session._growth._left == side.session.config.max_session_window_growth
            for stream_id, direction in side.incoming.items():
                if stream_id not in side.reset | self.sides_[1 - number].reset and stream_id in side.streams:
                    assert direction.received == direction.written
                    assert direction.fin_received


TestLink = Link.TestCase
TestLink.settings = settings(
    max_examples=int(os.environ.get("PLUGMUX_MODEL_EXAMPLES", "150")),
    stateful_step_count=60,
    suppress_health_check=list(HealthCheck),
)
