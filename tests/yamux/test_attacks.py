"""What a hostile peer can do: each attack is bounded in memory, and leaves the process as it was.

After each attack the same loop serves another link, with no more work than before. Work is counted in function calls:
that tells the same on every machine, however busy, where a clock would not.
"""

from __future__ import annotations

import asyncio
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, cast

import pytest

from plugmux.errors import ProtocolViolation, SessionClosed
from plugmux.yamux import Config, Mux
from plugmux.yamux.frame import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    INITIAL_WINDOW,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    pack_header,
)
from plugmux.yamux.session import MAX_UNREAD_CONTROL
from support.yamux_links import Echo, Recorder, bare_peer, memory_below, mux_pair, read_frame, reader_writer

MIB = 1024 * 1024
GO_AWAY_VIOLATION = pack_header(GO_AWAY, 0, 0, 1)
WITHOUT_RATES = Config(max_resets=0, max_idle_frames=0)
"""Lets a peer go on, where its work is looked at and not its end."""
WITHOUT_POLLING = Config(busy_poll=0)
"""Looks for no answers: the clock would say how often, where work is counted."""


async def work_of(activity: Coroutine[Any, Any, None]) -> int:
    """The function calls that something takes, those of the event loop included."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        await activity
    finally:
        sys.setprofile(None)
    return calls


async def exchange(mux: Mux) -> None:
    """Twenty streams, one after the other, each of which sends 10 KiB and gets them back."""
    for _ in range(20):
        reader, writer = await reader_writer(mux)
        writer.write(bytes(10_240))
        writer.write_eof()
        assert len(await reader.read()) == 10_240
        writer.close()


@pytest.fixture(autouse=True)
async def _another_link_is_served_with_no_more_work_than_before() -> AsyncIterator[None]:
    async with mux_pair(client=WITHOUT_POLLING, server=WITHOUT_POLLING) as (client, _):
        await exchange(client)
        before = await work_of(exchange(client))
        yield
        await exchange(client)
        after = await work_of(exchange(client))
    assert after <= 1.05 * before


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[tuple[int, int, int, int]]:
    """Ping by hand, and give the headers that came before the answer."""
    writer.write(pack_header(PING, SYN, 0, 0xABCDEF))
    headers = []
    while (header := (await read_frame(reader))[:4]) != (PING, ACK, 0, 0xABCDEF):
        headers.append(header)
    return headers


def syn(stream_id: int, payload: bytes = b"") -> bytes:
    return pack_header(DATA, SYN, stream_id, len(payload)) + payload


FATAL: dict[str, bytes] = {
    "a window overrun": syn(1, bytes(INITIAL_WINDOW)) + pack_header(DATA, 0, 1, INITIAL_WINDOW) + bytes(1000),
    "a window overflow": syn(1) + pack_header(WINDOW_UPDATE, 0, 1, 2**32 - 1),
    "a length of 4 GiB": pack_header(DATA, SYN, 1, 2**32 - 1),
    "a length of 4 GiB for a stream that was reset": syn(1)
    + pack_header(WINDOW_UPDATE, RST, 1, 0)
    + pack_header(DATA, 0, 1, 2**32 - 1),
    "an id used again": syn(1) + syn(1),
    "an id of our parity": syn(2),
    "an id far below": syn(2**31 + 1) + syn(1),
    "data for a stream never opened": pack_header(DATA, 0, 77, 5) + b"12345",
    "credit for a stream never opened": pack_header(WINDOW_UPDATE, 0, 78, 5),
    "an unknown type": pack_header(200, 0, 0, 0),
    "an unknown version": b"\x01" + pack_header(DATA, SYN, 1, 0)[1:],
    "unknown flags": pack_header(DATA, 0xFFFF, 1, 0),
    "noise": bytes(range(255, 0, -1)) * 10,
    "HTTP": b"GET / HTTP/1.1\r\nHost: unix\r\n\r\n",
}


@pytest.mark.parametrize("attack", FATAL)
async def test_a_violation_ends_the_session_with_a_go_away(attack: str) -> None:
    with memory_below(8 * MIB):
        async with bare_peer() as (mux, reader, writer):
            writer.write(FATAL[attack])
            answer = await reader.read()
            await mux.wait_closed()
    assert answer.endswith(GO_AWAY_VIOLATION)
    assert isinstance(mux.reason, ProtocolViolation)
    with pytest.raises(SessionClosed):
        mux.open(Recorder())


@pytest.mark.parametrize("cut", [1, 5, 11])
async def test_a_truncated_header_ends_the_session(cut: int) -> None:
    async with bare_peer() as (mux, _, writer):
        writer.write(syn(1)[:cut])
        writer.write_eof()
        await mux.wait_closed()
        assert isinstance(mux.reason, ProtocolViolation)
        assert "within a frame" in str(mux.reason)


async def test_a_flood_of_streams_is_reset_beyond_the_backlog() -> None:
    with memory_below(8 * MIB):  # most of it what the test itself keeps
        async with bare_peer(config=WITHOUT_RATES, listen=None) as (mux, reader, writer):
            writer.write(b"".join(pack_header(WINDOW_UPDATE, SYN, number, 0) for number in range(1, 40_000, 2)))
            headers = await answered(reader, writer)
            assert len(mux.streams) == 256
            assert len(headers) == 20_000 - 256
            assert {(kind, flags) for kind, flags, *_ in headers} == {(WINDOW_UPDATE, RST)}


async def test_a_flood_of_streams_is_reset_beyond_the_maximum() -> None:
    with memory_below(8 * MIB):
        async with bare_peer(config=Config(max_streams=500, max_resets=0)) as (mux, reader, writer):
            writer.write(b"".join(pack_header(WINDOW_UPDATE, SYN, number, 0) for number in range(1, 40_000, 2)))
            headers = await answered(reader, writer)
            assert len(mux.streams) == 500
            assert sum(flags == RST for _, flags, *_ in headers) == 20_000 - 500


async def test_a_storm_of_opens_and_resets_leaves_nothing() -> None:
    async with bare_peer(config=WITHOUT_RATES) as (mux, reader, writer):
        await answered(reader, writer)
        with memory_below(4 * MIB):
            for start in range(1, 40_000, 2000):
                writer.write(
                    b"".join(
                        syn(number, b"GET") + pack_header(WINDOW_UPDATE, RST, number, 0)
                        for number in range(start, start + 2000, 2)
                    )
                )
                await answered(reader, writer)
            assert len(mux.streams) == 0
            assert mux._session.deferred == 0
            assert not mux._dispatcher._closing


async def test_pings_are_answered_as_long_as_the_peer_reads() -> None:
    async with bare_peer(config=WITHOUT_RATES) as (_, reader, writer):
        with memory_below(4 * MIB):
            for _ in range(5):
                writer.write(pack_header(PING, SYN, 0, 5) * 10_000)
                assert len(await answered(reader, writer)) == 10_000


async def test_pings_of_a_peer_that_does_not_read_end_the_session() -> None:
    async with bare_peer(config=WITHOUT_RATES) as (mux, _, writer):
        cast("asyncio.Transport", writer.transport).pause_reading()
        with memory_below(16 * MIB):
            flood = pack_header(PING, SYN, 0, 5) * 10_000
            for _ in range(8 * MAX_UNREAD_CONTROL // len(flood)):
                if mux.closed:
                    break
                writer.write(flood)
                await asyncio.sleep(0)
            while not mux.closed:
                await asyncio.sleep(0)
        assert isinstance(mux.reason, ProtocolViolation)
        assert "wait for the peer to read" in str(mux.reason)


async def test_a_peer_that_never_reads_holds_up_its_own_streams_only_as_far_as_they_write() -> None:
    async with bare_peer(client=True) as (mux, _, writer):
        cast("asyncio.Transport", writer.transport).pause_reading()
        with memory_below(8 * MIB):
            protocols = [Recorder() for _ in range(8)]
            for protocol in protocols:
                transport = mux.open(protocol)
                while protocol.told[-1] != "pause":
                    transport.write(bytes(65_536))
            await asyncio.sleep(0)
            assert all(transport.get_write_buffer_size() <= 400_000 for transport in (p.transport for p in protocols))


async def test_a_slow_reader_is_sent_no_more_than_its_window() -> None:
    async with bare_peer(client=True) as (mux, reader, writer):
        protocol = Recorder()
        transport = mux.open(protocol)
        transport.write(bytes(INITIAL_WINDOW + 1000))
        headers = await answered(reader, writer)
        headers += await answered(reader, writer)
        assert sum(length for *_, length in headers) == INITIAL_WINDOW
        writer.write(pack_header(WINDOW_UPDATE, ACK, 1, 1))
        # The answer to the ping goes before the byte.
        assert await answered(reader, writer) == []
        assert await answered(reader, writer) == [(DATA, 0, 1, 1)]


async def test_unread_streams_are_bounded_by_their_windows_and_stop_no_other() -> None:
    class Unreading(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()

    factories: Iterator[Callable[[], asyncio.BaseProtocol]] = iter([Unreading, Unreading, Echo])
    async with mux_pair(listen=lambda: next(factories)()) as (client, _):
        for _ in range(2):
            client.open(Recorder()).write(bytes(INITIAL_WINDOW * 2))
        reader, writer = await reader_writer(client)
        writer.write(b"through")
        assert await reader.read(7) == b"through"
        writer.close()


async def test_a_window_of_tiny_frames_takes_no_more_than_a_window() -> None:
    async with bare_peer(listen=None) as (mux, reader, writer):
        writer.write(syn(1))
        await answered(reader, writer)
        with memory_below(2 * MIB):
            for _ in range(INITIAL_WINDOW // 8192):
                writer.write((pack_header(DATA, 0, 1, 2) + b"xx") * 4096)
                await answered(reader, writer)
        assert len(mux.streams) == 1


async def test_new_streams_after_a_go_away_are_reset_and_old_ones_go_on() -> None:
    async with bare_peer(listen=Echo) as (mux, reader, writer):
        writer.write(syn(1, b"a"))
        assert await read_frame(reader) == (DATA, ACK, 1, 1, b"a")
        mux.go_away()
        assert await read_frame(reader) == (GO_AWAY, 0, 0, 0, b"")
        with memory_below(MIB):
            writer.write(b"".join(syn(number, b"x" * 100) for number in range(3, 2003, 2)))
            headers = await answered(reader, writer)
        assert headers == [(WINDOW_UPDATE, RST, number, 0) for number in range(3, 2003, 2)]
        writer.write(pack_header(DATA, FIN, 1, 1) + b"b")
        assert await read_frame(reader) == (DATA, 0, 1, 1, b"b")


async def test_empty_frames_by_the_thousand_are_nothing() -> None:
    async with bare_peer(config=WITHOUT_RATES) as (mux, reader, writer):
        writer.write(syn(1))
        with memory_below(2 * MIB):
            writer.write(pack_header(DATA, 0, 1, 0) * 20_000 + pack_header(WINDOW_UPDATE, 0, 1, 0) * 20_000)
            await answered(reader, writer)
        assert len(mux.streams) == 1


async def test_other_sessions_do_not_notice() -> None:
    async with mux_pair() as (client, _), bare_peer() as (mux, reader, writer):
        stream_reader, stream_writer = await reader_writer(client)
        stream_writer.write(b"one")
        assert await stream_reader.readexactly(3) == b"one"
        writer.write(FATAL["noise"])
        await reader.read()
        assert mux.closed
        stream_writer.write(b"two")
        assert await stream_reader.readexactly(3) == b"two"
        stream_writer.close()


async def test_ten_thousand_idle_streams_take_under_four_kib_each() -> None:
    made: list[asyncio.BaseProtocol] = []

    def factory() -> asyncio.BaseProtocol:
        made.append(asyncio.Protocol())
        return made[-1]

    async def open_many(mux: Mux, count: int) -> None:
        for _ in range(count):
            await mux.create_connection(asyncio.Protocol)
        await mux.ping()

    async with mux_pair(listen=factory) as (client, server):
        await open_many(client, 100)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await open_many(client, 10_000)
            while len(server.streams) < 10_100:  # It takes many frames in several turns.
                await asyncio.sleep(0)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(server.streams) == len(client.streams) == 10_100
        # Both ends are in this process.
        assert (after - before) / 10_000 < 2 * 4096


async def test_the_last_of_ten_thousand_streams_opens_with_as_little_work_as_the_first() -> None:
    async def open_many(mux: Mux, count: int) -> None:
        for _ in range(count):
            await mux.create_connection(asyncio.Protocol)
        await mux.ping()

    async with mux_pair(client=WITHOUT_POLLING, server=WITHOUT_POLLING, listen=asyncio.Protocol) as (client, server):
        await open_many(client, 100)
        first = await work_of(open_many(client, 100))
        await open_many(client, 9_700)
        last = await work_of(open_many(client, 100))
        while len(server.streams) < 10_000:
            await asyncio.sleep(0)
        assert len(server.streams) == len(client.streams) == 10_000
        assert last <= 1.3 * first
