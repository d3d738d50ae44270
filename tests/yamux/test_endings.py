"""How connections and sessions end: with every byte that had come, with a go-away, and with nothing left behind."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from plugmux.aio.pipes import PipePair, open_pipe_pair
from plugmux.errors import ProtocolViolation
from plugmux.link.link import Link, Peer
from plugmux.yamux import Config, DataReceived, Mux, Session, SessionEnded, StreamOpened, flow
from plugmux.yamux.frame import ACK, DATA, FIN, GO_AWAY, INITIAL_WINDOW, SYN, WINDOW_UPDATE, pack_header, unpack_header
from support.yamux_links import Accepted, Recorder, bare_peer

LAST = 48 * 1024
"""What a peer writes before it closes: more than one read takes, and less than a pipe holds."""


class Answerer(Recorder):
    """Writes for every piece that comes, so that it writes to a peer that has gone."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


def parting(size: int = LAST) -> bytes:
    """A stream of that many bytes, whole."""
    frames = [pack_header(WINDOW_UPDATE, SYN, 1, 0)]
    frames += [pack_header(DATA, 0, 1, 1024) + bytes(1024) for _ in range(size // 1024)]
    return b"".join([*frames, pack_header(WINDOW_UPDATE, FIN, 1, 0)])


async def received(connect: Callable[[Mux], Any]) -> Recorder:
    """What a stream's protocol was told, when the peer had gone before a byte of it was read."""
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Answerer(keep_open=True))
        return made[-1]

    link = Mux(client=False)
    link.listen(factory)
    await connect(link)
    await link.wait_closed()
    (recorder,) = made
    return recorder


@pytest.fixture(autouse=True)
def _short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "READ_BUFFER", 4096)


async def test_the_last_bytes_of_a_socket_come_before_the_error_of_our_own_write() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(parting())
    theirs.close()
    recorder = await received(
        lambda link: asyncio.get_running_loop().create_connection(lambda: link, sock=ours),
    )
    assert len(recorder.data) == LAST
    assert recorder.told[-2:] == ["eof", "lost"]


async def test_the_last_bytes_of_a_pipe_come_before_the_error_of_our_own_write() -> None:
    our_reading, their_writing = os.pipe()
    their_reading, our_writing = os.pipe()
    os.write(their_writing, parting())
    os.close(their_writing)
    os.close(their_reading)
    recorder = await received(
        lambda link: open_pipe_pair(lambda: link, os.fdopen(our_reading, "rb", 0), os.fdopen(our_writing, "wb", 0)),
    )
    assert len(recorder.data) == LAST
    assert recorder.told[-2:] == ["eof", "lost"]


def test_the_last_bytes_come_on_uvloop_too() -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_the_last_bytes_of_a_socket_come_before_the_error_of_our_own_write())
        runner.run(test_the_last_bytes_of_a_pipe_come_before_the_error_of_our_own_write())


@pytest.mark.parametrize("unwritten", [0, 1 << 20])
@pytest.mark.parametrize("steps", [("abort", "close"), ("close", "abort"), ("abort", "abort")])
async def test_pipes_that_are_ended_twice_are_lost_once(steps: tuple[str, str], unwritten: int) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    (reading, their_writing), (their_reading, writing) = os.pipe(), os.pipe()
    recorder = Recorder(keep_open=True)
    pair, _ = await open_pipe_pair(lambda: recorder, os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0))
    pair.write(bytes(unwritten))
    for step in steps:
        getattr(pair, step)()
    while "lost" not in recorder.told:
        await asyncio.sleep(0)
    for descriptor in (writing, reading):
        while is_open(descriptor):
            await asyncio.sleep(0)
    assert recorder.told.count("lost") == 1
    assert not faults
    os.close(their_reading)
    os.close(their_writing)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


VIOLATION = bytes(range(255, 0, -1))


def opened(session: Session, data: bytes) -> list[Any]:
    events = session.receive_data(data)
    for event in events:
        if isinstance(event, StreamOpened):
            session.accept(event.stream)
    return events


def test_a_violation_behind_a_frame_that_owes_an_ack_says_go_away_and_nothing_else() -> None:
    session = Session(client=False)
    half = INITIAL_WINDOW // 2
    events = opened(session, pack_header(DATA, SYN, 1, half) + bytes(half))
    (data,) = (event for event in events if isinstance(event, DataReceived))
    (ended,) = session.receive_data(VIOLATION)
    assert isinstance(ended, SessionEnded)
    session.consume(data.stream, half)
    session.send(data.stream, b"an answer")
    session.end(data.stream)
    session.flush_deferred()
    assert b"".join(session.data_to_send()) == pack_header(GO_AWAY, 0, 0, 1)
    assert not session.has_output


async def test_a_violation_in_the_same_read_as_a_request_is_told_to_the_peer() -> None:
    async with bare_peer() as (link, reader, writer):
        half = INITIAL_WINDOW // 2
        writer.write(pack_header(DATA, SYN, 1, half) + bytes(half) + VIOLATION)
        assert (await reader.read()).endswith(pack_header(GO_AWAY, 0, 0, 1))
        await link.wait_closed()
        assert isinstance(link.reason, ProtocolViolation)


def test_what_was_read_before_a_stream_was_accepted_is_credited() -> None:
    session = Session(client=False, config=Config(max_stream_window_size=INITIAL_WINDOW))
    opened_event, data = session.receive_data(pack_header(DATA, SYN, 1, INITIAL_WINDOW) + bytes(INITIAL_WINDOW))
    assert isinstance(data, DataReceived)
    session.consume(data.stream, INITIAL_WINDOW)
    assert not session.has_output
    session.accept(opened_event.stream)  # type: ignore[attr-defined]  # an event of this kind
    (frame,) = session.data_to_send()
    assert unpack_header(frame) == (0, WINDOW_UPDATE, ACK, 1, INITIAL_WINDOW)


async def test_no_timer_is_started_after_the_end_of_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    call_at = loop.call_at

    def watched_call_at(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
        timers.append(call_at(*arguments, **options))
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", watched_call_at)
    async with bare_peer(listen=None) as (link, _, _writer):
        recorder = Paused()
        link.listen(lambda: recorder)
        link.feed(pack_header(DATA, SYN, 1, 1) + b"x" + pack_header(WINDOW_UPDATE, FIN, 1, 0))
        link.abort()
        await link.wait_closed()
        assert recorder.told == ["made", "data", "eof", "lost"]
    assert [timer for timer in timers if not timer.cancelled() and timer.when() > loop.time() + 1] == []


class Paused(Recorder):
    """Reads nothing until its stream ends, and closes it then."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()


@pytest.mark.parametrize("broken", ["reading", "writing"])
async def test_a_pair_of_pipes_that_cannot_be_opened_leaves_none_open(broken: str, tmp_path: Any) -> None:
    reading_fd, writing_fd = os.pipe()
    pipes = {"reading": os.fdopen(reading_fd, "rb", 0), "writing": os.fdopen(writing_fd, "wb", 0)}
    pipes[broken].close()
    pipes[broken] = (tmp_path / "file").open("w+b", 0)
    recorder = PairRecorder()
    with pytest.raises((ValueError, OSError)):
        await open_pipe_pair(lambda: recorder, pipes["reading"], pipes["writing"])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert pipes["reading"].closed
    assert pipes["writing"].closed
    assert recorder.told in ([], ["made", "lost"])


class PairRecorder(asyncio.Protocol):
    """Writes down what a pair of pipes tells."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, PipePair)
        self.told.append("made")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


async def test_a_link_that_cannot_run_on_its_socket_closes_it() -> None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    link = Link(_no_app, initiator=True, peer=Peer("nobody"))
    with pytest.raises(ValueError, match=r"(?i)stream socket"):
        await link.over_socket(sock)
    assert sock.fileno() == -1


async def _no_app(*_: object) -> None:
    """Serves nothing."""


async def test_every_stream_of_one_read_is_accepted() -> None:
    factory = Accepted()
    made = factory.made
    async with bare_peer(config=Config(accept_backlog=4), listen=factory) as (link, _, writer):
        link.feed(b"".join(pack_header(WINDOW_UPDATE, SYN, number, 0) for number in range(1, 1001, 2)))
        while len(made) < 500:
            await asyncio.sleep(0)
        assert len(link.streams) == 500
        assert not any("lost" in recorder.told for recorder in made)
        writer.close()
