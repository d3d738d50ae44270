"""The session's rules that the shared vectors do not hold: exact frames, local mistakes, bounds, growing windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plugmux.errors import ConfigError, ProtocolViolation, SessionClosed, StreamClosed
from plugmux.yamux import (
    Config,
    DataReceived,
    PongReceived,
    Session,
    SessionEnded,
    Stream,
    StreamDrained,
    StreamFinished,
    StreamOpened,
    StreamWasReset,
)
from plugmux.yamux.frame import (
    ACK,
    DATA,
    FIN,
    INITIAL_WINDOW,
    MAX_STREAM_ID,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    describe,
    pack_header,
    unpack_header,
)
from plugmux.yamux.peer import MAX_LATE, PeerIds
from plugmux.yamux.session import MAX_UNREAD_CONTROL

MIB = 1024 * 1024


def sent(session: Session, limit: int = 2**32) -> list[tuple[int, int, int, int]]:
    """The headers of all that a session puts out."""
    data = b"".join(session.data_to_send(limit))
    headers = []
    while data:
        _, kind, flags, stream_id, length = unpack_header(data)
        headers.append((kind, flags, stream_id, length))
        data = data[12 + (length if kind == DATA else 0) :]
    return headers


def pair(**config: Any) -> tuple[Session, Session]:
    return Session(client=True, config=Config(**config)), Session(client=False, config=Config(**config))


def accepted(session: Session, stream_id: int = 1) -> Stream:
    """A stream that the peer has opened and this side has accepted and acknowledged."""
    (event,) = session.receive_data(pack_header(WINDOW_UPDATE, SYN, stream_id, 0))
    assert isinstance(event, StreamOpened)
    session.accept(event.stream)
    session.flush_deferred()
    assert sent(session) == [(WINDOW_UPDATE, ACK, stream_id, 0)]
    return event.stream


def test_a_small_request_is_one_frame() -> None:
    session = Session(client=True)
    stream = session.open()
    session.send(stream, b"head")
    session.send(stream, b"body")
    assert sent(session) == [(DATA, SYN, 1, 8)]


def test_fin_follows_the_last_payload_on_a_frame_of_its_own() -> None:
    session = Session(client=True)
    stream = session.open()
    session.send(stream, b"x")
    session.end(stream)
    assert sent(session) == [(DATA, SYN, 1, 1), (WINDOW_UPDATE, FIN, 1, 0)]


def test_the_ack_rides_on_the_response() -> None:
    session = Session(client=False)
    (opened, _) = session.receive_data(pack_header(DATA, SYN, 1, 1) + b"x")
    assert isinstance(opened, StreamOpened)
    session.accept(opened.stream)
    assert sent(session) == []
    assert session.deferred == 1
    session.send(opened.stream, b"response")
    assert sent(session) == [(DATA, ACK, 1, 8)]
    assert session.deferred == 0


def test_the_fin_that_answers_a_fin_waits_for_company() -> None:
    session = Session(client=False)
    stream = accepted(session)
    session.receive_data(pack_header(WINDOW_UPDATE, FIN, 1, 0))
    session.end(stream)
    assert stream.ended
    assert sent(session) == []
    session.receive_data(pack_header(PING, SYN, 0, 7))
    assert sent(session) == [(PING, ACK, 0, 7), (WINDOW_UPDATE, FIN, 1, 0)]


def test_credit_carries_an_ack_that_is_owed() -> None:
    session = Session(client=False)
    opened, _ = session.receive_data(pack_header(DATA, SYN, 1, INITIAL_WINDOW) + bytes(INITIAL_WINDOW))
    assert isinstance(opened, StreamOpened)
    session.accept(opened.stream)
    session.consume(opened.stream, INITIAL_WINDOW)
    assert (WINDOW_UPDATE, ACK, 1, INITIAL_WINDOW) in sent(session)
    assert session.deferred == 0


def test_control_frames_go_before_data() -> None:
    session = Session(client=True)
    session.send(session.open(), bytes(100_000))
    session.ping()
    assert [kind for kind, *_ in sent(session)] == [PING, DATA]


def test_no_frame_is_begun_beyond_the_limit() -> None:
    session = Session(client=True)
    session.send(session.open(), bytes(200_000))
    session.send(session.open(), b"small")
    assert sent(session, 1) == [(DATA, SYN, 1, 65_536)]
    assert sent(session, 1) == [(DATA, SYN, 3, 5)]
    assert sent(session) == [(DATA, 0, 1, 131_072), (DATA, 0, 1, 3392)]  # it is alone now


def test_draining_is_told_once_when_it_was_asked_for() -> None:
    session = Session(client=True)
    stream = session.open()
    stream.notify_at = 60_000
    session.send(stream, bytes(200_000))
    session.data_to_send(1)
    assert session.take_events() == []
    session.data_to_send(1)
    assert [type(event) for event in session.take_events()] == [StreamDrained]
    session.data_to_send(1)
    assert session.take_events() == []


def test_writing_after_the_end_is_a_local_mistake() -> None:
    session = Session(client=True)
    stream = session.open()
    session.end(stream)
    with pytest.raises(StreamClosed, match="stream 1"):
        session.send(stream, b"x")
    session.end(stream)
    assert sent(session) == [(WINDOW_UPDATE, SYN | FIN, 1, 0)]
    assert [type(event) for event in session.take_events()] == [StreamFinished]


def test_resetting_and_accepting_again_are_harmless() -> None:
    session = Session(client=False)
    stream = accepted(session)
    session.accept(stream)
    session.reset(stream)
    session.reset(stream)
    session.accept(stream)
    assert sent(session) == [(WINDOW_UPDATE, RST, 1, 0)]


def test_the_last_stream_id_ends_opening() -> None:
    session = Session(client=True)
    session._next_id = MAX_STREAM_ID
    assert session.open().id == MAX_STREAM_ID
    with pytest.raises(SessionClosed, match="used up"):
        session.open()


def test_an_ended_session_refuses_calls_and_reads_nothing() -> None:
    session = Session(client=True)
    session.end_session(SessionClosed("no more"))
    session.end_session(SessionClosed("the first reason counts"))
    for call in (session.open, session.ping, session.go_away):
        with pytest.raises(SessionClosed, match="no more"):
            call()
    assert session.receive_data(pack_header(PING, SYN, 0, 1)) == []
    assert session.receive_eof() == []


def test_go_away_is_said_once() -> None:
    session = Session(client=True)
    session.go_away()
    session.go_away()
    assert len(sent(session)) == 1


def test_a_ping_measures_the_round_trip() -> None:
    session = Session(client=True)
    session.now = 10.0
    first, second = session.ping(), session.ping()
    session.forget_ping(second)
    answers = b"".join(pack_header(PING, ACK, 0, ping) for ping in (first, second, first))
    (event,) = session.receive_data(answers, 10.25)
    assert isinstance(event, PongReceived)
    assert (event.ping_id, event.rtt) == (first, 0.25)


def test_answers_that_the_peer_does_not_read_are_bounded() -> None:
    session = Session(client=True, config=Config(max_idle_frames=0))
    flood = pack_header(PING, SYN, 0, 1) * 10_000
    for _ in range(MAX_UNREAD_CONTROL // len(flood)):
        assert session.receive_data(flood) == []
    (event,) = session.receive_data(flood)
    assert isinstance(event, SessionEnded)
    assert isinstance(event.error, ProtocolViolation)
    assert len(b"".join(session.data_to_send())) == 12


def test_the_error_names_the_frame_and_the_rule() -> None:
    session = Session(client=False)
    accepted(session)
    (event,) = session.receive_data(pack_header(DATA, FIN, 1, INITIAL_WINDOW + 1))
    assert isinstance(event, SessionEnded)
    assert str(event.error) == "data frame FIN on stream 1, length 262145: the window has 262144 bytes left"
    assert session.error is event.error


def test_held_streams_are_told_of_the_peers_go_away() -> None:
    session = Session(client=True, config=Config(accept_backlog=1))
    session.open()
    held, dropped = session.open(), session.open()
    session.reset(dropped)
    events = session.receive_data(pack_header(3, 0, 0, 0))
    resets = [event for event in events if isinstance(event, StreamWasReset)]
    assert [event.stream for event in resets] == [held]
    assert isinstance(resets[0].error, SessionClosed)
    assert sent(session) == [(WINDOW_UPDATE, SYN, 1, 0)]


def test_more_streams_than_the_maximum_are_reset() -> None:
    session = Session(client=False, config=Config(max_streams=2))
    stream = accepted(session, 1)
    accepted(session, 3)
    assert session.receive_data(pack_header(WINDOW_UPDATE, SYN, 5, 0)) == []
    assert sent(session) == [(WINDOW_UPDATE, RST, 5, 0)]
    session.reset(stream)
    assert len(session.receive_data(pack_header(WINDOW_UPDATE, SYN, 7, 0))) == 1


# Windows that grow.


def read_half(client: Session, server: Session, ours: Stream, theirs: Stream, took: float) -> None:
    """Send half the window from client to server, have it read within `took` seconds, and return the credit."""
    client.send(ours, bytes(theirs.window // 2))
    server.now += took
    for event in server.receive_data(b"".join(client.data_to_send(2**32)), server.now):
        if isinstance(event, DataReceived):
            server.consume(theirs, len(event.data))
    client.receive_data(b"".join(server.data_to_send()), server.now)
    server.receive_data(b"".join(client.data_to_send()), server.now + 0.001)


def joined(**config: Any) -> tuple[Session, Session, Stream, Stream]:
    client, server = pair(**config)
    ours = client.open()
    (opened,) = server.receive_data(b"".join(client.data_to_send()))
    assert isinstance(opened, StreamOpened)
    server.accept(opened.stream)
    return client, server, ours, opened.stream


def test_a_window_grows_while_its_reader_keeps_up() -> None:
    client, server, ours, theirs = joined()
    sizes = []
    for _ in range(5):
        read_half(client, server, ours, theirs, 0.0001)
        sizes.append(theirs.window)
        assert theirs.receive_window == theirs.window
    # The first half only begins to measure the round trip.
    assert sizes == [INITIAL_WINDOW, MIB, 4 * MIB, 16 * MIB, 16 * MIB]
    assert ours.send_window == 16 * MIB
    assert server._growth._left == 32 * MIB - (16 * MIB - INITIAL_WINDOW)


def test_a_window_whose_bytes_are_kept_doubles_up_to_4_mib() -> None:
    client, server, ours, theirs = joined()
    sizes = []
    for _ in range(7):
        server.memory.hold(theirs, theirs.window // 2)
        read_half(client, server, ours, theirs, 0.0001)
        sizes.append(theirs.window)
    assert sizes == [INITIAL_WINDOW, 2 * INITIAL_WINDOW, MIB, 2 * MIB, 4 * MIB, 4 * MIB, 4 * MIB]


def next_window(client: Session, server: Session) -> Stream:
    """Open one more stream and read half its window at once; gives the receiving end."""
    ours = client.open()
    server.receive_data(b"".join(client.data_to_send()))
    theirs = server.streams[ours.id]
    server.accept(theirs)
    read_half(client, server, ours, theirs, 0.0001)
    return theirs


@pytest.mark.parametrize(("growth", "next_sizes"), [(128 * MIB, [16 * MIB] * 2), (32 * MIB, [4 * MIB] * 4)])
def test_a_window_becomes_at_once_what_another_has_needed_but_large_ones_leave_half_to_others(
    growth: int, next_sizes: list[int]
) -> None:
    client, server, ours, theirs = joined(max_session_window_growth=growth)
    for _ in range(5):
        read_half(client, server, ours, theirs, 0.0001)
    assert theirs.window == 16 * MIB
    assert [next_window(client, server).window for _ in next_sizes] == next_sizes


def grown(rtt: float) -> tuple[Session, Session]:
    """Two sessions whose round trip is known to the server, on which one stream has needed 16 MiB and has ended."""
    client, server, ours, theirs = joined()
    server._growth.measured(rtt)
    for _ in range(4):
        read_half(client, server, ours, theirs, 0.0001)
    assert theirs.window == 16 * MIB
    server.reset(theirs)
    client.receive_data(b"".join(server.data_to_send()))
    return client, server


def next_stream(client: Session, server: Session) -> tuple[Stream, Stream]:
    ours = client.open()
    server.receive_data(b"".join(client.data_to_send()))
    theirs = server.streams[ours.id]
    server.accept(theirs)
    server.flush_deferred()
    client.receive_data(b"".join(server.data_to_send()))
    return ours, theirs


def test_on_a_long_line_a_stream_begins_with_the_window_that_another_has_needed() -> None:
    client, server = grown(0.02)
    quarter = 8 * MIB + INITIAL_WINDOW
    first, second = next_stream(client, server), next_stream(client, server)
    assert [stream.send_window for stream in (first[0], second[0])] == [quarter, INITIAL_WINDOW]
    assert [stream.window for stream in (first[1], second[1])] == [quarter, INITIAL_WINDOW]
    opened = server.open()
    assert opened.window == INITIAL_WINDOW
    server.reset(first[1])
    opened = server.open()
    assert sent(server)[-1] == (WINDOW_UPDATE, SYN, opened.id, 8 * MIB)


def test_on_a_short_line_or_with_little_memory_a_stream_begins_with_a_small_window() -> None:
    client, server = grown(0.001)
    assert next_stream(client, server)[1].window == INITIAL_WINDOW
    client, server = grown(0.02)
    server.memory.add(server.memory.limit * 7 // 8)
    assert next_stream(client, server)[1].window == INITIAL_WINDOW


def test_a_window_does_not_grow_for_a_slow_reader() -> None:
    client, server, ours, theirs = joined(max_stream_window_size=MIB)
    for _ in range(5):
        read_half(client, server, ours, theirs, 1.0)
    assert theirs.window == INITIAL_WINDOW


def test_the_windows_of_a_session_grow_by_a_sum_that_is_bounded() -> None:
    config = {"max_stream_window_size": 8 * MIB, "max_session_window_growth": 300_000}
    client, server, ours, theirs = joined(**config)
    for _ in range(6):
        read_half(client, server, ours, theirs, 0.0001)
    assert theirs.window == INITIAL_WINDOW + 300_000
    assert server._growth._left == 0
    server.reset(theirs)
    assert server._growth._left == 300_000


# Small parts.


def test_late_ids_are_remembered_within_a_bound() -> None:
    ids = PeerIds(2)
    ids.use(MAX_STREAM_ID - 1)
    assert len(ids._late) == MAX_LATE
    assert not ids.used(MAX_STREAM_ID - 3)
    assert ids.used(2)
    ids = PeerIds(1)
    for stream_id in range(3, 8 * MAX_LATE, 4):
        ids.use(stream_id)
    assert len(ids._late) == MAX_LATE
    assert ids.used(1)
    assert not ids.used(8 * MAX_LATE - 7)
    assert not ids.owns(2)
    assert not ids.owns(0)


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        ((DATA, SYN | FIN, 3, 12), "data frame SYN|FIN on stream 3, length 12"),
        ((PING, ACK, 0, 1), "ping frame ACK on stream 0, length 1"),
        ((9, 0, 0, 0), "type 9 frame on stream 0, length 0"),
        ((WINDOW_UPDATE, 0x11, 1, 0), "window update frame 0x0011 on stream 1, length 0"),
    ],
)
def test_frames_are_named_in_errors(frame: tuple[int, int, int, int], name: str) -> None:
    assert describe(*frame) == name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Config(accept_backlog=0), "accept_backlog is 0"),
        (lambda: Config(max_streams=0), "max_streams is 0"),
        (lambda: Config(keep_alive_interval=0), "keep_alive_interval is 0"),
        (lambda: Config(connection_write_timeout=-1), "connection_write_timeout is -1"),
        (lambda: Config(stream_open_timeout=-1), "stream_open_timeout is -1"),
        (lambda: Config(stream_close_timeout=-1), "stream_close_timeout is -1"),
        (lambda: Config(stream_window_size=1024), "stream_window_size is 1024"),
        (lambda: Config(stream_window_size=32 * MIB), "stream_window_size is 33554432"),
        (lambda: Config(max_stream_window_size=2**32), "max_stream_window_size is 4294967296"),
        (lambda: Config(max_session_window_growth=-1), "max_session_window_growth is -1"),
        (lambda: Config(keep_alive_interval=float("nan")), "keep_alive_interval is nan"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], Config], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_defaults_are_those_that_peers_assume() -> None:
    config = Config()
    assert config.accept_backlog == 256
    assert config.stream_window_size == 262_144
    assert (config.keep_alive_interval, config.connection_write_timeout) == (30, 10)
    assert (config.stream_open_timeout, config.stream_close_timeout) == (75, 300)


def test_events_and_streams_show_what_they_are() -> None:
    session = Session(client=True)
    stream = session.open()
    assert repr(stream) == "<Stream 1 SYN_PENDING sending OPEN, receiving OPEN, 0 bytes queued>"
    assert repr(PongReceived(3, 0.5)) == "PongReceived(ping_id=3, rtt=0.5)"
    assert repr(DataReceived(stream, b"xy")) == "DataReceived(data=2 bytes, stream=1)"
