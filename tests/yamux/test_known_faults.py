"""Faults that other implementations of yamux have had, each with a test."""

from __future__ import annotations

import asyncio

import pytest

from plugmux.errors import SessionClosed, StreamReset
from plugmux.yamux import Config, Mux
from plugmux.yamux.frame import ACK, DATA, FIN, INITIAL_WINDOW, PING, RST, SYN, WINDOW_UPDATE, pack_header
from support.yamux_links import Accepted, Echo, Recorder, bare_peer, mux_pair, read_frame, reader_writer


@pytest.mark.parametrize("ending", ["acknowledged", "reset by the peer", "reset here", "ended on both sides"])
async def test_every_way_out_gives_back_the_place_in_the_backlog(ending: str) -> None:
    async with bare_peer(client=True, config=Config(accept_backlog=1)) as (mux, reader, writer):
        for stream_id in (1, 3, 5):
            transport, protocol = await mux.create_connection(Recorder)
            assert await read_frame(reader) == (WINDOW_UPDATE, SYN, stream_id, 0, b"")
            match ending:
                case "acknowledged":
                    writer.write(pack_header(WINDOW_UPDATE, ACK, stream_id, 0))
                case "reset by the peer":
                    writer.write(pack_header(WINDOW_UPDATE, RST, stream_id, 0))
                case "reset here":
                    transport.abort()
                    assert (await read_frame(reader))[1] == RST
                case "ended on both sides":
                    transport.write_eof()
                    assert (await read_frame(reader))[1] == FIN
                    writer.write(pack_header(WINDOW_UPDATE, FIN, stream_id, 0))
            if ending != "acknowledged":
                await protocol.lost if ending != "reset here" else None


async def test_an_opener_that_gives_up_leaves_its_place_to_the_next() -> None:
    async with bare_peer(client=True, config=Config(accept_backlog=1)) as (mux, reader, writer):
        mux.open(Recorder())
        openers = [asyncio.create_task(mux.create_connection(Recorder)) for _ in range(3)]
        assert (await read_frame(reader))[2] == 1
        writer.write(pack_header(WINDOW_UPDATE, ACK, 1, 0) + pack_header(PING, SYN, 0, 1))
        openers[0].cancel()
        assert (await read_frame(reader))[0] == PING
        assert (await read_frame(reader))[:3] == (WINDOW_UPDATE, SYN, 3)
        await openers[1]
        # Cancelled in the same turn in which it was woken.
        writer.write(pack_header(WINDOW_UPDATE, ACK, 3, 0))
        while mux._openers.queue:
            await asyncio.sleep(0)
        last = asyncio.create_task(mux.create_connection(Recorder))
        openers[2].cancel()
        await last
        for opener in (openers[0], openers[2]):
            with pytest.raises(asyncio.CancelledError):
                await opener


async def test_an_open_does_not_wait_for_the_ack() -> None:
    async with bare_peer(client=True) as (mux, reader, _):
        transport = mux.open(Recorder())
        transport.write(b"request")
        assert await read_frame(reader) == (DATA, SYN, 1, 7, b"request")
        transport.write(b"more")
        assert await read_frame(reader) == (DATA, 0, 1, 4, b"more")


async def test_a_writer_is_reset_when_the_peer_has_closed_and_reads_no_more() -> None:
    async with mux_pair(listen=lambda: Recorder(keep_open=True)) as (client, server):
        reader, writer = await reader_writer(client)
        writer.write(b"x")
        await client.ping()
        stream = server._session.streams[1]
        stream.owner.close()
        assert await reader.read() == b""
        with pytest.raises(StreamReset):
            await write_until_reset(writer)
        writer.close()


async def write_until_reset(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(bytes(65_536))
        await writer.drain()


async def test_reading_goes_on_after_a_local_half_close() -> None:
    async with mux_pair() as (client, _):
        reader, writer = await reader_writer(client)
        writer.write(bytes(1_000_000))
        writer.write_eof()
        assert len(await reader.read()) == 1_000_000
        writer.close()


async def test_both_sides_sending_more_than_a_window_do_not_block_each_other() -> None:
    """Reading never waits for writing: each end has its windows full and its connection blocked."""
    size = 3_000_000

    async def send_and_receive(mux: Mux) -> int:
        reader, writer = await reader_writer(mux)
        writer.write(bytes(size))
        writer.write_eof()
        data = await reader.read()
        writer.close()
        return len(data)

    async with mux_pair() as (client, server):
        client.listen(Echo)
        assert (
            await asyncio.gather(*(send_and_receive(mux) for mux in (client, server) for _ in range(3))) == [size] * 6
        )


async def test_frames_of_two_writers_are_not_interleaved() -> None:
    async with mux_pair() as (client, _):
        streams = [await reader_writer(client) for _ in range(10)]
        for number, (_, writer) in enumerate(streams):
            for _ in range(50):
                writer.write(bytes([number]) * 3001)
            writer.write_eof()
        for number, (reader, writer) in enumerate(streams):
            assert await reader.read() == bytes([number]) * 150_050
            writer.close()


async def test_fin_waits_for_the_last_byte_when_the_window_is_empty() -> None:
    async with bare_peer(client=True) as (mux, reader, writer):
        transport = mux.open(Recorder())
        transport.write(bytes(INITIAL_WINDOW + 1))
        transport.close()
        got = 0
        while got < INITIAL_WINDOW:
            _, flags, _, length, _ = await read_frame(reader)
            assert not flags & FIN
            got += length
        writer.write(pack_header(PING, SYN, 0, 1) + pack_header(WINDOW_UPDATE, ACK, 1, 1))
        assert (await read_frame(reader))[0] == PING
        assert await read_frame(reader) == (DATA, 0, 1, 1, b"\0")
        assert await read_frame(reader) == (WINDOW_UPDATE, FIN, 1, 0, b"")


async def test_a_reset_does_not_overtake_data_that_was_accepted() -> None:
    factory = Accepted()
    got = factory.made
    async with bare_peer(listen=factory) as (_, _, writer):
        writer.write(pack_header(DATA, SYN, 1, 5) + b"first" + pack_header(WINDOW_UPDATE, RST, 1, 0))
        while not got:
            await asyncio.sleep(0)
        await got[0].lost
        assert got[0].told == ["made", "data", "lost"]
        assert isinstance(got[0].error, StreamReset)


async def test_a_session_that_ends_does_not_overtake_data_that_was_accepted() -> None:
    factory = Accepted()
    got = factory.made
    async with bare_peer(listen=factory) as (mux, _, writer):
        writer.write(pack_header(DATA, SYN, 1, 5) + b"first")
        writer.write_eof()
        await mux.wait_closed()
        assert got[0].told == ["made", "data", "lost"]
        assert isinstance(got[0].error, SessionClosed)


async def test_a_bare_end_of_the_connection_ends_the_session_in_order() -> None:
    async with bare_peer() as (mux, _, writer):
        writer.write_eof()
        await mux.wait_closed()
        assert mux.reason is None
        with pytest.raises(SessionClosed, match="the peer closed the connection"):
            mux.open(Recorder())


async def test_a_bare_end_of_the_connection_tells_open_streams() -> None:
    async with bare_peer(client=True) as (mux, _, writer):
        protocol = Recorder()
        mux.open(protocol)
        await asyncio.sleep(0)
        writer.write_eof()
        await protocol.lost
        assert isinstance(protocol.error, SessionClosed)
        assert mux.reason is protocol.error


async def test_window_updates_for_a_finished_stream_are_nothing() -> None:
    async with bare_peer(client=True) as (mux, reader, writer):
        mux.open(Recorder()).abort()
        transport = mux.open(Recorder())
        transport.abort()
        mux.open(Recorder())
        assert (await read_frame(reader))[:3] == (WINDOW_UPDATE, SYN, 5)
        writer.write(b"".join(pack_header(WINDOW_UPDATE, 0, stream_id, 2**31) for stream_id in (1, 3, 1, 3)))
        writer.write(pack_header(PING, SYN, 0, 9))
        assert (await read_frame(reader))[0] == PING
        assert not mux.closed


async def test_a_stream_that_is_not_read_does_not_stop_the_others() -> None:
    factory = Accepted()
    made = factory.made
    async with mux_pair(listen=factory) as (client, _):
        client.open(Recorder()).write(b"1")
        await client.ping()
        made[0].transport.pause_reading()
        blocked = client.open(Recorder())
        blocked.write(bytes(10 * INITIAL_WINDOW))
        other = client.open(Recorder())
        other.write(bytes(1000))
        other.write_eof()
        while len(made) < 3:
            await client.ping()
        await made[2].ended
        assert len(made[2].data) == 1000


async def test_a_blocked_session_with_much_to_acknowledge_goes_on() -> None:
    """Many ACKs that are deferred while the connection takes no bytes."""
    async with bare_peer(listen=Recorder) as (mux, reader, writer):
        mux._output.blocked = True
        writer.write(b"".join(pack_header(WINDOW_UPDATE, SYN, stream_id, 0) for stream_id in range(1, 401, 2)))
        while len(mux.streams) < 200:
            await asyncio.sleep(0)
        mux.resume_writing()
        assert [(await read_frame(reader))[1] for _ in range(200)] == [ACK] * 200


async def test_closing_with_openers_readers_and_pings_pending_a_thousand_times() -> None:
    for _ in range(1000):
        async with bare_peer(client=True, config=Config(accept_backlog=1)) as (mux, _, _writer):
            protocol = Recorder()
            mux.open(protocol).write(bytes(INITIAL_WINDOW * 2))
            waiting = [asyncio.create_task(mux.create_connection(Recorder)), asyncio.create_task(mux.ping())]
            idle = asyncio.create_task(mux.wait_idle())
            await asyncio.sleep(0)
            mux.abort()
            await protocol.lost
            for task in waiting:
                with pytest.raises(SessionClosed):
                    await task
            await idle
            await mux.wait_closed()
            assert protocol.told.count("lost") == 1
