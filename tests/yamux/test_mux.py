"""The mux on real sockets, through asyncio's own stream classes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from plugmux.aio.pipes import open_pipe_pair
from plugmux.errors import LinkTimeout, SessionClosed
from plugmux.yamux import Config, Mux
from plugmux.yamux.frame import ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE, pack_header
from support.yamux_links import Accepted, Echo, Recorder, bare_peer, mux_pair, read_frame, reader_writer


async def test_a_small_exchange_crosses_the_link() -> None:
    async with mux_pair() as (client, server):
        reader, writer = await reader_writer(client)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()
        await client.wait_idle()
        await server.wait_idle()


async def test_megabytes_cross_both_ways_unchanged() -> None:
    data = bytes(range(256)) * 32 * 1024
    async with mux_pair() as (client, _):
        reader, writer = await reader_writer(client)

        async def write() -> None:
            for start in range(0, len(data), 100_000):
                writer.write(data[start : start + 100_000])
                await writer.drain()
            writer.write_eof()

        task = asyncio.create_task(write())
        assert hashlib.sha256(await reader.read()).digest() == hashlib.sha256(data).digest()
        await task
        writer.close()


async def test_a_thousand_streams_at_once() -> None:
    async def call(number: int) -> None:
        reader, writer = await reader_writer(client)
        body = b"%d" % number * 100
        writer.write(body)
        writer.write_eof()
        assert await reader.read() == body
        writer.close()

    async with mux_pair() as (client, server):
        await asyncio.gather(*(call(number) for number in range(1000)))
        await client.wait_idle()
        await server.wait_idle()


async def test_ping_gives_the_round_trip_time() -> None:
    async with mux_pair() as (client, server):
        assert 0 < await client.ping() < 10
        assert 0 < await server.ping() < 10


async def test_streams_that_came_before_listen_wait_for_it() -> None:
    async with mux_pair(listen=None) as (client, server):
        reader, writer = await reader_writer(client)
        writer.write(b"early")
        writer.write_eof()
        await client.ping()
        factory = Accepted()
        got = factory.made
        server.listen(factory)
        await got[0].ended
        assert got[0].data == b"early"
        assert await reader.read() == b""
        writer.close()


async def test_closing_tells_the_open_streams_of_both_sides() -> None:
    factory = Accepted()
    seen = factory.made
    async with mux_pair(listen=factory) as (client, server):
        mine = Recorder()
        client.open(mine)
        await client.ping()
        await client.close()
        await server.wait_closed()
        assert isinstance(mine.error, SessionClosed)
        assert isinstance(seen[0].error, SessionClosed)
        assert client.reason is None
        with pytest.raises(SessionClosed):
            client.open(Recorder())


async def test_opening_before_there_is_a_connection_is_refused() -> None:
    mux = Mux(client=True)
    for call in (lambda: mux.open(Recorder()), mux.go_away):
        with pytest.raises(SessionClosed, match="no connection yet"):
            call()
    await mux.wait_idle()
    mux.abort()
    await mux.close()
    assert mux.closed


async def test_an_abort_tells_its_reason() -> None:
    async with mux_pair() as (client, server):
        mine = Recorder()
        client.open(mine)
        reason = RuntimeError("the plugin was stopped")
        client.abort(reason)
        client.abort()
        assert client.reason is reason
        await mine.lost
        assert isinstance(mine.error, SessionClosed)
        assert "the plugin was stopped" in str(mine.error)
        await client.wait_closed()
        await server.wait_closed()


async def test_a_ping_that_is_not_answered_ends_with_a_time_limit() -> None:
    async with bare_peer(config=Config(connection_write_timeout=0.02)) as (mux, _, _writer):
        with pytest.raises(LinkTimeout, match=r"within 0\.02 s"):
            await mux.ping()
        assert not mux.closed


async def test_a_cancelled_ping_leaves_nothing() -> None:
    async with bare_peer() as (mux, reader, writer):
        task = asyncio.create_task(mux.ping())
        kind, flags, _, value, _ = await read_frame(reader)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        writer.write(pack_header(kind, ACK, 0, value))
        writer.write(pack_header(kind, flags, 0, 5))
        assert (await read_frame(reader))[:4] == (PING, ACK, 0, 5)


async def test_a_silent_peer_is_pinged_and_its_streams_are_told() -> None:
    config = Config(enable_keep_alive=True, keep_alive_interval=0.02, connection_write_timeout=0.05)
    async with bare_peer(client=True, config=config) as (mux, _, _writer):
        mine = Recorder()
        mux.open(mine)
        await mine.lost
        assert isinstance(mine.error, LinkTimeout)
        assert isinstance(mux.reason, LinkTimeout)
        await mux.wait_closed()


@pytest.mark.parametrize("connected", ["unix socket", "TCP", "pipes"])
async def test_only_over_a_network_is_a_silent_peer_taken_for_dead(
    connected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    mux = Mux(client=True)
    if connected == "pipes":
        (reading, their_writing), (their_reading, writing) = os.pipe(), os.pipe()
        await open_pipe_pair(lambda: mux, os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0))
        theirs: Any = os.fdopen(their_writing, "wb", 0), os.fdopen(their_reading, "rb", 0)
    elif connected == "TCP":
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await loop.create_connection(lambda: mux, *listener.getsockname())
            theirs = (listener.accept()[0],)
    else:
        ours, other = socket.socketpair()
        await loop.create_connection(lambda: mux, sock=ours)
        theirs = (other,)
    timers: list[float] = []
    for name in ("call_at", "call_later"):
        monkeypatch.setattr(loop, name, partial(_note, timers, getattr(loop, name)))
    mux.pause_writing()  # what a peer brings about that reads nothing
    assert bool(timers) == (connected == "TCP")
    assert (mux._keepalive._ping_timer is not None) == (connected == "TCP")
    monkeypatch.undo()
    for end in theirs:
        end.close()
    mux.abort()
    await mux.wait_closed()


def _note(
    timers: list[float], call: Callable[..., asyncio.TimerHandle], when: float, *rest: Any
) -> asyncio.TimerHandle:
    timers.append(when)
    return call(when, *rest)


async def test_a_peer_that_does_not_read_ends_the_session_with_a_time_limit() -> None:
    config = Config(enable_keep_alive=False, connection_write_timeout=0.05)
    async with bare_peer(client=True, config=config) as (mux, _, writer):
        cast("asyncio.Transport", writer.transport).pause_reading()
        for _ in range(10):
            mux.open(Recorder()).write(bytes(200_000))
        await mux.wait_closed()
        assert isinstance(mux.reason, LinkTimeout)


async def test_closing_does_not_wait_for_a_peer_that_does_not_read() -> None:
    config = Config(connection_write_timeout=0.05)
    async with bare_peer(client=True, config=config) as (mux, _, writer):
        cast("asyncio.Transport", writer.transport).pause_reading()
        for _ in range(10):
            mux.open(Recorder()).write(bytes(200_000))
        await mux.close()
        assert mux.reason is None


async def test_closing_puts_out_what_was_written_and_says_go_away() -> None:
    async with bare_peer(client=True) as (mux, reader, _):
        closed = Recorder()
        transport = mux.open(closed)
        transport.write(b"last words")
        transport.close()
        await mux.close()
        await mux.close()
        assert await read_frame(reader) == (GO_AWAY, 0, 0, 0, b"")
        assert await read_frame(reader) == (DATA, SYN, 1, 10, b"last words")
        assert await read_frame(reader) == (WINDOW_UPDATE, FIN, 1, 0, b"")
        assert await reader.read() == b""
        assert closed.error is None


async def test_a_lost_connection_is_the_reason() -> None:
    async with bare_peer(client=True) as (mux, _, writer):
        mine = Recorder()
        mux.open(mine)
        writer.transport.abort()
        await mux.wait_closed()
        assert mux.closed
        assert isinstance(mine.error, SessionClosed)
        mux.connection_lost(OSError("the cable"))


async def test_an_error_of_the_connection_is_told() -> None:
    async with bare_peer(client=True) as (mux, _, _writer):
        mine = Recorder()
        mux.open(mine)
        mux.connection_lost(OSError("the cable"))
        assert str(mux.reason) == "the connection was lost: the cable"
        assert mine.error is mux.reason


async def test_bytes_behind_an_upgrade_can_be_fed() -> None:
    async with bare_peer(client=False, listen=Echo) as (mux, reader, _):
        mux.feed(pack_header(DATA, SYN, 1, 3) + b"fed")
        assert await read_frame(reader) == (DATA, ACK, 1, 3, b"fed")
        before = mux.last_received
        mux.feed(b"")
        assert mux.last_received == before
        await mux.close()
        mux.feed(b"too late")


async def test_a_lone_ack_goes_out_though_nothing_else_does() -> None:
    async with bare_peer() as (mux, reader, writer):
        writer.write(pack_header(WINDOW_UPDATE, SYN, 1, 0))
        assert await read_frame(reader) == (WINDOW_UPDATE, ACK, 1, 0, b"")
        assert len(mux.streams) == 1


async def test_streams_of_the_backlog_can_be_reset_or_cut_before_they_are_accepted() -> None:
    async with bare_peer(listen=None) as (mux, reader, writer):
        writer.write(pack_header(DATA, SYN, 1, 1) + b"x" + pack_header(WINDOW_UPDATE, RST, 1, 0))
        writer.write(pack_header(WINDOW_UPDATE, SYN, 3, 0) + pack_header(PING, SYN, 0, 1))
        assert (await read_frame(reader))[0] == PING
        factory = Accepted()
        made = factory.made
        assert len(mux.streams) == 1
        await mux.close()
        mux.listen(factory)
        assert made == []


async def test_a_small_call_passes_a_large_one() -> None:
    async with mux_pair() as (client, _):
        large = Recorder(keep_open=True)
        transport = client.open(large)
        transport.set_write_buffer_limits(high=100_000_000)
        transport.write(bytes(50_000_000))
        reader, writer = await reader_writer(client)
        writer.write(b"small")
        writer.write_eof()
        assert await reader.read() == b"small"
        assert transport.get_write_buffer_size() > 25_000_000
        writer.close()
        transport.abort()


async def test_several_complete_messages_do_not_wait_for_the_turn_of_the_loop_to_end() -> None:
    async with bare_peer(client=True) as (mux, _, writer):
        peer = cast("socket.socket", writer.get_extra_info("socket")).fileno()
        recorders = [Recorder() for _ in range(3)]
        transports = [mux.open(recorder) for recorder in recorders]
        transports[0].write(b"first")
        transports[0].write_eof()
        with pytest.raises(BlockingIOError):  # one alone goes out with whatever else this turn brings
            os.read(peer, 1000)
        transports[1].write(b"second")
        transports[2].write(b"begun")
        transports[1].close()
        put_out = os.read(peer, 1000)
        assert b"first" in put_out
        assert b"second" in put_out
        assert [recorder.told for recorder in recorders] == [["made"]] * 3, "nobody is called back from his own call"


async def test_openers_that_wait_are_told_of_the_peers_go_away() -> None:
    async with bare_peer(client=True, config=Config(accept_backlog=1)) as (mux, _, writer):
        mux.open(Recorder())
        opener = asyncio.create_task(mux.create_connection(Recorder))
        await asyncio.sleep(0)
        writer.write(pack_header(GO_AWAY, 0, 0, 0))
        with pytest.raises(SessionClosed, match="go-away"):
            await opener
        assert not mux.closed


@pytest.mark.parametrize("abort", [True, False])
async def test_a_mux_that_ends_before_it_has_a_connection_wakes_who_waits_and_takes_none(abort: bool) -> None:
    mux, reason = Mux(client=True), OSError("not wanted any more")
    waiting = asyncio.create_task(mux.wait_closed())
    await asyncio.sleep(0)
    if abort:
        mux.abort(reason)
    else:
        await mux.close()
    assert mux.closed
    assert mux.reason is (reason if abort else None)
    await asyncio.wait_for(waiting, 60)
    assert mux.get_extra_info("socket") is None
    ours, theirs = socket.socketpair()
    with theirs:
        await asyncio.get_running_loop().create_connection(lambda: mux, sock=ours)
        assert await asyncio.get_running_loop().run_in_executor(None, theirs.recv, 1) == b""
    assert mux.closed
    assert mux.reason is (reason if abort else None)


async def test_a_mux_that_was_closed_before_it_had_a_connection_opens_no_stream() -> None:
    mux = Mux(client=True)
    await mux.close()
    with pytest.raises(SessionClosed, match="closed before it had a connection"):
        mux.open(asyncio.Protocol())
