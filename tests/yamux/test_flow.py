"""The memory of links: what is counted, who waits for credit, who is reset, and what is given back."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from itertools import chain
from typing import Any

import pytest

from plugmux.exchange import RequestHead, Response
from plugmux.http import Server
from plugmux.link import raw
from plugmux.link.app import LinkApp
from plugmux.link.link import Link, Peer
from plugmux.link.raw import RawStreamReader
from plugmux.yamux import Config, DataReceived, LinkMemory, MemoryPool, Mux, Session, Stream, StreamOpened
from plugmux.yamux.flow import MAX_CREDITED, STREAM_COST
from plugmux.yamux.frame import DATA, FIN, INITIAL_WINDOW, RST, SYN, WINDOW_UPDATE, pack_header, unpack_header
from plugmux.yamux.state import ESTABLISHED
from support.yamux_links import Accepted, Recorder, bare_peer, memory_below, mux_pair

KIB = 1024
MIB = 1024 * KIB


def open_streams(session: Session, count: int, size: int) -> list[Stream]:
    """Have the peer open streams and send so much on each."""
    frames = [pack_header(DATA, SYN, 1 + 2 * number, size) + bytes(size) for number in range(count)]
    events = session.receive_data(b"".join(frames))
    return [event.stream for event in events if isinstance(event, StreamOpened)]


def credited(session: Session) -> dict[int, int]:
    """The credit that a session puts out, by stream."""
    session.flush_deferred()
    data = b"".join(session.data_to_send(2**30))
    credit: dict[int, int] = {}
    for position in range(0, len(data), 12):
        _, kind, _, stream_id, length = unpack_header(data, position)
        assert kind != DATA
        if kind == WINDOW_UPDATE and length:
            credit[stream_id] = credit.get(stream_id, 0) + length
    return credit


def session_with(limit: int, pool: int = 1 << 40) -> Session:
    memory = LinkMemory(MemoryPool(pool), limit)
    memory.join()
    config = Config(max_stream_window_size=INITIAL_WINDOW)
    session = Session(client=False, config=config, memory=memory)
    session.accepting = True
    return session


def collect(session: Session, stream: Stream, size: int) -> bool:
    """What a reader does that keeps what it takes."""
    room = session.memory.hold(stream, size)
    session.consume(stream, size)
    return room


def test_while_memory_is_tight_a_few_streams_are_credited_and_the_others_when_these_are_complete() -> None:
    half = INITIAL_WINDOW // 2
    session = session_with(limit=16 * (half + STREAM_COST))
    streams = open_streams(session, 18, half)
    for stream in streams:
        collect(session, stream, half)
    at_ease = 11  # three quarters of the limit, with what the streams themselves are counted for
    assert list(credited(session)) == [stream.id for stream in streams[: at_ease + MAX_CREDITED]]
    first, *others = session.memory.stalled
    assert [first, *others] == streams[at_ease + MAX_CREDITED :]
    session.memory.hold(streams[at_ease], -half)  # one of those that had a turn is complete
    session.grant_withheld_credit()
    assert list(credited(session)) == [first.id]
    assert list(session.memory.stalled) == others
    for stream in streams[:7]:
        session.memory.release(stream)
    session.grant_withheld_credit()
    assert list(credited(session)) == [stream.id for stream in others]
    assert not session.memory.stalled


def test_a_stream_of_which_nothing_is_kept_is_credited_in_any_case() -> None:
    session = session_with(limit=1 * MIB)
    keeper, reader = open_streams(session, 2, INITIAL_WINDOW)
    assert session.memory.hold(keeper, 900 * KIB)
    assert session.memory.tight
    session.consume(reader, INITIAL_WINDOW)
    assert credited(session) == {reader.id: INITIAL_WINDOW}


def test_past_the_limit_there_is_no_room_and_what_is_given_back_is_room_again() -> None:
    session = session_with(limit=1 * MIB)
    one, other = open_streams(session, 2, 1)
    assert session.memory.hold(one, 1 * MIB - 2 * STREAM_COST)
    assert not session.memory.hold(other, 1)
    session.reset(other)
    session.memory.release(other)
    session.memory.release(one)
    assert session.memory.held == 0


def test_streams_themselves_are_counted_and_refused_past_the_limit() -> None:
    session = session_with(limit=10 * STREAM_COST)
    streams = open_streams(session, 20, 0)
    assert len(streams) == 10
    session.flush_deferred()
    data = b"".join(session.data_to_send(2**30))
    flags = [unpack_header(data, position)[2] for position in range(0, len(data), 12)]
    assert sum(bool(flag & RST) for flag in flags) == 10
    for stream in streams:
        session.reset(stream)
    assert session.memory.held == 0


def test_a_pool_has_a_share_for_each_link_whatever_the_others_hold() -> None:
    pool = MemoryPool(8 * MIB)
    greedy, modest = LinkMemory(pool, 64 * MIB), LinkMemory(pool, 64 * MIB)
    greedy.join()
    modest.join()
    assert greedy.add(4 * MIB)
    assert not greedy.add(1)
    greedy.remove(1)
    assert modest.add(2 * MIB)
    assert not modest.add(1)
    assert pool.held <= 8 * MIB
    greedy.close()
    modest.close()
    assert (pool.held, pool.links) == (0, 0)


def test_room_that_one_link_gives_back_wakes_the_others() -> None:
    pool = MemoryPool(8 * MIB)
    woken: list[str] = []
    first, second = LinkMemory(pool, 64 * MIB), LinkMemory(pool, 64 * MIB)
    for link in (first, second):
        link.join()
    second.on_room = lambda: woken.append("second")
    first.add(4 * MIB)
    second.add(2 * MIB)
    stream = Stream(1, ESTABLISHED, 0.0)
    stream.held = MIB
    assert not all(second.may_credit(_copy_of(stream)) for _ in range(MAX_CREDITED + 1))
    first.remove(4 * MIB)
    assert woken == ["second"]
    assert second.next_for_credit()
    assert pool.waiting == set()


def _copy_of(stream: Stream) -> Stream:
    copy = Stream(stream.id, stream.handshake, 0.0)
    copy.held = stream.held
    return copy


class FastPathEcho:
    """An app that answers every request on its fast path with its body, of up to 4 MiB."""

    limit = 4 * MIB

    def fast_path(self, head: RequestHead) -> FastPathEcho:
        return self

    async def complete(self, body: bytes) -> Response:
        return Response(200, [], body)

    def too_large(self, size: int) -> Response:
        return Response(413)

    async def __call__(self, *_: object) -> None:
        """Everything goes straight."""


REQUEST = b"POST /echo HTTP/1.1\r\nhost: unix\r\ncontent-length: 4194304\r\nconnection: close\r\n\r\n"


def frame(stream_id: int, data: bytes, flags: int = 0) -> bytes:
    return pack_header(DATA, flags, stream_id, len(data)) + data


async def flood(link: Mux, frames: Any, end: asyncio.StreamWriter, source: asyncio.StreamReader) -> None:
    """Give a link frames, and throw away what it says."""
    drain = asyncio.create_task(source.read())
    for data in frames:
        if link.closed:
            break
        link.feed(data)
        await asyncio.sleep(0)
    end.close()
    await drain


async def test_unfinished_requests_are_counted_and_refused_past_the_limit() -> None:
    server = Server(FastPathEcho(), lifespan=False)
    config = Config(max_link_memory=8 * MIB)
    with memory_below(16 * MIB):
        async with bare_peer(config=config, listen=server.protocol) as (link, source, end):
            opened = (frame(number, REQUEST, SYN) for number in range(1, 200, 2))
            bodies = (frame(number, bytes(60 * KIB)) for _ in range(4) for number in range(1, 200, 2))
            await flood(link, chain(opened, bodies), end, source)
            assert link.held <= 8 * MIB
        assert link.held == 0
    await server.shutdown(0)


@pytest.mark.parametrize("body", ["two bytes a frame", "one byte a chunk"])
async def test_tiny_pieces_of_a_body_take_little_more_than_their_bytes(body: str) -> None:
    server = Server(FastPathEcho(), lifespan=False)
    chunked = REQUEST.replace(b"content-length: 4194304", b"transfer-encoding: chunked")
    head, piece = (REQUEST, b"xy") if body.startswith("two") else (chunked, b"1\r\nx\r\n")
    frames = [frame(1, piece) * 1000 for _ in range(40)]
    async with bare_peer(listen=server.protocol) as (link, source, end):
        link.feed(frame(1, head, SYN))
        with memory_below(3 * MIB):
            await flood(link, frames, end, source)
    await server.shutdown(0)


async def test_what_nobody_reads_of_raw_streams_is_counted() -> None:
    readers: list[RawStreamReader] = []

    def protocol() -> asyncio.StreamReaderProtocol:
        readers.append(RawStreamReader())
        return asyncio.StreamReaderProtocol(readers[-1])

    config = Config(max_link_memory=4 * MIB)
    async with bare_peer(config=config, listen=protocol) as (link, source, end):
        frames = [
            frame(number, bytes(60 * KIB), SYN if not turn else 0) for turn in range(4) for number in range(1, 81, 2)
        ]
        drain = asyncio.create_task(source.read())
        for data in frames:
            link.feed(data)
            await asyncio.sleep(0)
            assert link.held <= 4 * MIB
        left = [reader for reader in readers if reader.exception() is None]
        assert 0 < len(left) < len(readers)
        for reader in left:
            assert await reader.readexactly(60 * KIB)
            await reader.read(KIB * KIB)
        assert link.held <= len(left) * (STREAM_COST + 4 * KIB)
        end.close()
        await drain


async def test_what_a_waiting_reader_of_a_raw_stream_leaves_is_counted() -> None:
    readers: list[RawStreamReader] = []

    def protocol() -> asyncio.StreamReaderProtocol:
        readers.append(RawStreamReader())
        return asyncio.StreamReaderProtocol(readers[-1])

    async with bare_peer(listen=protocol) as (link, source, end):
        drain = asyncio.create_task(source.read())
        for number, wanted in ((1, 1), (3, 240 * KIB)):
            link.feed(frame(number, b"", SYN))
            reading = asyncio.create_task(readers[-1].readexactly(wanted))
            await asyncio.sleep(0)
            before = link.held
            for _ in range(3):
                link.feed(frame(number, bytes(60 * KIB)))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            assert before + 3 * 60 * KIB - 4 * KIB <= link.held <= before + 3 * 60 * KIB
            reading.cancel()
        link.abort()
        end.close()
        await drain


async def test_a_raw_stream_that_was_reset_holds_nothing_and_its_handler_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(raw, "RESET_GRACE", 0.0)
    served: list[asyncio.StreamReader] = []
    ended = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(reader)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    head = b"GET /stream/deaf HTTP/1.1\r\nhost: unix\r\nconnection: upgrade\r\nupgrade: plugmux-stream\r\n\r\n"
    server = Server(LinkApp(streams={"deaf": deaf}), lifespan=False)
    async with bare_peer(listen=server.protocol) as (link, source, _end):
        drain = asyncio.create_task(source.read())
        link.feed(frame(1, head, SYN))
        while not served:
            await asyncio.sleep(0)
        link.feed(frame(1, bytes(100 * KIB)))
        assert link.held >= 100 * KIB
        link.feed(pack_header(WINDOW_UPDATE, RST, 1, 0))
        await ended.wait()
        assert link.held == 0
        assert not served[0]._buffer  # type: ignore[attr-defined]  # asyncio's own
    await drain
    await server.shutdown(0)


async def test_reading_on_gives_credit_again() -> None:
    """A link whose memory is tight comes to an end with everything when its readers read."""
    size = 3 * MIB
    made: list[RawStreamReader] = []

    def protocol() -> asyncio.StreamReaderProtocol:
        made.append(RawStreamReader())
        return asyncio.StreamReaderProtocol(made[-1])

    async with mux_pair(server=Config(max_link_memory=4 * MIB), listen=protocol) as (client, server):
        writers = []
        for _ in range(8):
            recorder = Recorder(keep_open=True)
            transport = client.open(recorder)
            transport.write(bytes(size))
            transport.write_eof()
            writers.append(recorder)
        while len(made) < 8:
            await client.ping()
        sizes = await asyncio.gather(*(reader.read() for reader in made))
        assert [len(data) for data in sizes] == [size] * 8
        assert server.held <= 8 * STREAM_COST


async def test_before_a_peer_has_registered_it_has_few_streams_and_little_memory() -> None:
    pool = MemoryPool(64 * MIB)
    config = Config()
    link = Mux(client=False, config=config, pool=pool, registered=False)
    factory = Accepted()
    made = factory.made
    link.listen(factory)
    theirs = await _connected(link)
    link.feed(b"".join(pack_header(WINDOW_UPDATE, SYN, number, 0) for number in range(1, 100, 2)))
    assert len(made) == config.max_unregistered_streams
    for number in range(1, 64, 2):
        made[number // 2].transport.pause_reading()
        link.feed(frame(number, bytes(60 * KIB)))
        await asyncio.sleep(0)
        assert link.held <= config.max_unregistered_memory
    link.mark_registered()
    link.feed(b"".join(pack_header(WINDOW_UPDATE, SYN, number, 0) for number in range(201, 281, 2)))
    assert len(made) == config.max_unregistered_streams + 40
    link.abort()
    theirs.close()
    await link.wait_closed()
    assert pool.held == 0


async def _connected(link: Mux) -> asyncio.StreamWriter:
    left, right = socket.socketpair()
    await asyncio.get_running_loop().create_connection(lambda: link, sock=left)
    _, writer = await asyncio.open_connection(sock=right)
    return writer


async def test_idle_links_of_a_pool_cost_little() -> None:
    pool = MemoryPool(512 * MIB)

    async def app(*_: object) -> None:
        """Serves nothing."""

    links, peers = [], []
    tracemalloc.start()
    try:
        for _ in range(100):
            left, right = socket.socketpair()
            peers.append(right)
            links.append(await Link(app, initiator=False, peer=Peer("idle"), pool=pool).over_socket(left))
            right.send(pack_header(2, SYN, 0, 1))
        await asyncio.sleep(0)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    for link, peer in zip(links, peers, strict=True):
        await link.close()
        peer.close()
    assert held / len(links) < 32 * KIB


async def test_an_ended_stream_gives_back_what_it_held_although_nobody_read_it() -> None:
    async with bare_peer() as (link, _, _writer):
        made = Recorder(keep_open=True)
        link.listen(lambda: made)
        link.feed(pack_header(WINDOW_UPDATE, SYN, 1, 0))
        made.transport.pause_reading()
        link.feed(frame(1, bytes(100 * KIB), FIN))
        assert link.held >= 100 * KIB
        made.transport.close()
        await made.lost
        assert link.held == 0


def test_events_of_a_session_without_an_owner_hold_nothing() -> None:
    session = session_with(limit=1 * MIB)
    events = session.receive_data(frame(1, b"x", SYN) + pack_header(WINDOW_UPDATE, RST, 1, 0))
    assert any(isinstance(event, DataReceived) for event in events)
    assert session.memory.held == 0
