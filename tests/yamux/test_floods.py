"""Floods: how much of one is taken in a turn, and when a peer that goes on with it is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from plugmux.errors import ProtocolViolation
from plugmux.yamux import Config, Session, SessionEnded, StreamOpened
from plugmux.yamux.frame import ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE, pack_header
from plugmux.yamux.mux import MAX_FRAMES_PER_TURN
from plugmux.yamux.session import STREAM_WORK
from support.yamux_links import Recorder, bare_peer

SYN_1 = pack_header(WINDOW_UPDATE, SYN, 1, 0)
ENDED_3 = pack_header(WINDOW_UPDATE, SYN, 3, 0) + pack_header(WINDOW_UPDATE, RST, 3, 0)

IDLE = {
    "empty data": pack_header(DATA, 0, 1, 0),
    "no credit": pack_header(WINDOW_UPDATE, 0, 1, 0),
    "ACKs of nothing": pack_header(WINDOW_UPDATE, ACK, 1, 0),
    "pings": pack_header(PING, SYN, 0, 7),
    "answers to no ping": pack_header(PING, ACK, 0, 7),
    "go-aways": pack_header(GO_AWAY, 0, 0, 0),
    "data for an ended stream": pack_header(DATA, 0, 3, 1) + b"x",
    "credit for an ended stream": pack_header(WINDOW_UPDATE, 0, 3, 5),
}


def a_session(**config: int) -> Session:
    session = Session(client=False, config=Config(**config))  # type: ignore[arg-type]  # values of several types
    session.accepting = True
    return session


def error_of(session: Session, data: bytes, now: float) -> str:
    """Why a session has ended with some bytes; empty if it has not."""
    ends = [str(event.error) for event in session.receive_data(data, now) if isinstance(event, SessionEnded)]
    session.data_to_send(2**20)
    return "".join(ends)


@pytest.mark.parametrize("frame", IDLE.values(), ids=IDLE)
def test_frames_that_do_nothing_end_the_session_when_they_go_on(frame: bytes) -> None:
    session = a_session(max_idle_frames=100)
    assert error_of(session, SYN_1 + ENDED_3, 0.0) == ""
    for second in range(60):  # as many as are allowed
        assert error_of(session, frame * 100, float(second)) == ""
    errors = [error_of(session, frame * 200, 60.0 + second) for second in range(30)]
    (error,) = filter(None, errors)
    assert "more than 100 frames a second" in error
    assert isinstance(session.error, ProtocolViolation)


def opened(start: int, count: int, *rest: Callable[[int], bytes]) -> bytes:
    frames = []
    for number in range(start, start + 2 * count, 2):
        frames.append(pack_header(WINDOW_UPDATE, SYN, number, 0))
        frames += [make(number) for make in rest]
    return b"".join(frames)


def reset(number: int) -> bytes:
    return pack_header(WINDOW_UPDATE, RST, number, 0)


def end(number: int) -> bytes:
    return pack_header(WINDOW_UPDATE, FIN, number, 0)


def a_byte(number: int) -> bytes:
    return pack_header(DATA, 0, number, 1) + b"x"


@pytest.mark.parametrize("rest", [[reset], [a_byte, reset], [end]], ids=["reset", "a byte and reset", "ended empty"])
def test_streams_to_no_purpose_end_the_session_when_they_go_on(rest: list[Callable[[int], bytes]]) -> None:
    session = a_session(max_resets=10)
    for second in range(20):
        assert error_of(session, opened(1 + 20 * second, 10, *rest), float(second)) == ""
    errors = [error_of(session, opened(1001 + 200 * second, 100, *rest), 20.0 + second) for second in range(5)]
    (error,) = filter(None, errors)
    assert "more than 10 streams a second" in error


def test_streams_beyond_what_the_peer_may_have_end_the_session_when_they_go_on() -> None:
    session = a_session(max_resets=10, max_streams=1)
    assert error_of(session, opened(1, 101), 0.0) == ""
    assert "may not have" in error_of(session, opened(1001, 101), 0.0)


def test_calls_that_are_cancelled_after_a_while_are_no_flood() -> None:
    session = a_session(max_resets=10)
    assert error_of(session, opened(1, 1000, a_byte), 0.0) == ""
    assert error_of(session, b"".join(reset(number) for number in range(1, 2001, 2)), 5.0) == ""


def test_what_comes_on_streams_that_were_reset_here_is_no_flood() -> None:
    session = a_session(max_idle_frames=1)
    opening = session.receive_data(opened(1, 1000, a_byte), 0.0)
    for event in opening:
        if isinstance(event, StreamOpened):
            session.reset(event.stream)
            stragglers = 5 * a_byte(event.stream.id) + end(event.stream.id)
            assert error_of(session, stragglers, 0.0) == ""


def test_a_session_takes_no_more_than_the_work_that_it_is_given() -> None:
    session = a_session()
    data = opened(1, 10, a_byte)
    opens = 0
    while data:
        events = session.receive_data(data, 0.0, work=2 * (STREAM_WORK + 2))
        opens += sum(isinstance(event, StreamOpened) for event in events)
        assert 0 < session.taken <= 2 * 25
        data = data[session.taken :]
    assert opens == 10


async def test_a_flood_takes_turns_with_everything_else() -> None:
    turns = 0

    async def other_work() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    recorder = Recorder()
    async with bare_peer(listen=lambda: recorder) as (link, _, writer):
        working = asyncio.create_task(other_work())
        pieces = 20 * MAX_FRAMES_PER_TURN
        writer.write(SYN_1 + a_byte(1) * pieces)
        while not recorder.data:
            await asyncio.sleep(0)
        before = turns
        while len(recorder.data) < pieces:
            assert len(recorder.data) <= MAX_FRAMES_PER_TURN * (turns - before + 2)
            await asyncio.sleep(0)
        working.cancel()
        assert not link.closed


async def test_what_was_put_off_is_taken_before_the_end() -> None:
    recorder = Recorder(keep_open=True)
    async with bare_peer(listen=lambda: recorder) as (link, _, writer):
        pieces = 5 * MAX_FRAMES_PER_TURN
        writer.write(SYN_1 + a_byte(1) * pieces + end(1))
        writer.close()
        await link.wait_closed()
        assert len(recorder.data) == pieces
        assert recorder.told[-2:] == ["eof", "lost"]
