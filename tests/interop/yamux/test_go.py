"""Our mux against hashicorp/yamux, both ways at once and in both roles."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from plugmux.errors import LinkTimeout, SessionClosed, StreamReset
from plugmux.yamux import Config, Half, Mux
from support.yamux_exchange import Mode, Servers, call, open_stream
from support.yamux_go import both_ways, start_peer
from support.yamux_links import Recorder

MIB = 1024 * 1024
ROUNDS = int(os.environ.get("PLUGMUX_INTEROP_ROUNDS", "1"))

WINDOWS = {
    "the wire's windows": (256 * 1024, Config(max_stream_window_size=256 * 1024)),
    "growing windows": (256 * 1024, Config()),
    "large windows": (4 * MIB, Config(stream_window_size=4 * MIB)),
}


async def write_until_reset(mux: Mux, writer: asyncio.StreamWriter) -> None:
    """Go on writing until the peer's reset comes."""
    while True:
        writer.write(b"x")
        await writer.drain()
        await mux.ping()


EXCHANGES = [(count, windows) for windows in WINDOWS for count in (1, 100, 1000)]
if not os.environ.get("PLUGMUX_INTEROP_PEERS"):  # `make interop` has the most streams with all windows.
    EXCHANGES = [(count, windows) for count, windows in EXCHANGES if count < 1000 or windows == "growing windows"]


@pytest.mark.parametrize(("count", "windows"), EXCHANGES)
@pytest.mark.parametrize("client", [True, False], ids=["we are the client", "we are the server"])
@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_exchanges_arrive_unchanged(program: Path, client: bool, count: int, windows: str, seed: int) -> None:
    window, config = WINDOWS[windows]
    total = {1: 8, 100: 24, 1000: 16}[count] * MIB
    async with start_peer(program, f"-window={window}", client=client, config=config) as peer:
        ours, theirs = await both_ways(peer, count, total, seed)
        assert ours.errors == []
        assert ours.ok == count
        assert theirs.errors == []
        assert theirs.ok + theirs.reset == count
        async with asyncio.timeout(10):
            await peer.mux.wait_idle()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 8 * MIB])
async def test_sizes_at_the_edges(program: Path, size: int) -> None:
    async with start_peer(program, client=True) as peer:
        for mode in (Mode.PLAIN, Mode.HALF_CLOSE, Mode.ABANDON):
            await call(peer.mux, mode, size, size)


@pytest.mark.parametrize("client", [True, False], ids=["we are the client", "we are the server"])
async def test_pings_cross_both_ways(program: Path, client: bool) -> None:
    async with start_peer(program, client=client) as peer:
        assert 0 < await peer.mux.ping() < 10
        answer = await peer.tell("ping")
        assert answer["error"] == ""
        assert answer["rtt"] > 0


async def test_our_go_away_stops_the_peer_from_opening(program: Path) -> None:
    async with start_peer(program, client=True) as peer:
        Servers(peer.mux)
        peer.mux.go_away()
        await peer.mux.ping()
        answer = await peer.tell("call 1 10 10 1")
        assert "not accepting connections" in answer["errors"][0]
        await call(peer.mux, Mode.PLAIN, 10, 10)


async def test_the_peers_go_away_stops_us_from_opening(program: Path) -> None:
    async with start_peer(program, client=True) as peer:
        Servers(peer.mux)
        await peer.tell("goaway")
        await peer.mux.ping()
        with pytest.raises(SessionClosed, match="go-away"):
            await call(peer.mux, Mode.PLAIN, 10, 10)
        assert not (await peer.tell("call 10 100 10 1"))["errors"]


async def test_the_peers_close_without_go_away_ends_the_session(program: Path) -> None:
    async with start_peer(program, client=True) as peer:
        reader, writer, _ = await open_stream(peer.mux)
        writer.write(b"x")
        await peer.mux.ping()
        await peer.tell("close")
        with pytest.raises(SessionClosed):
            await reader.read()
        await peer.mux.wait_closed()
        assert isinstance(peer.mux.reason, SessionClosed)
        writer.close()


async def test_our_close_ends_the_peers_session(program: Path) -> None:
    async with start_peer(program, client=False) as peer:
        await peer.mux.close()
        assert (await peer.tell("wait"))["closed"]
        assert peer.mux.reason is None


async def test_a_peer_that_stops_reading_is_found_by_the_keepalive(program: Path) -> None:
    config = Config(enable_keep_alive=True, keep_alive_interval=0.05, connection_write_timeout=0.2)
    async with start_peer(program, client=True, config=config) as peer:
        await peer.tell("stall")
        await peer.mux.wait_closed()
        assert isinstance(peer.mux.reason, LinkTimeout)


async def test_a_peer_that_stops_reading_is_found_by_the_write_timeout(program: Path) -> None:
    config = Config(enable_keep_alive=False, connection_write_timeout=0.2)
    async with start_peer(program, client=True, config=config) as peer:
        await peer.tell("stall")
        for _ in range(20):
            peer.mux.open(Recorder()).write(bytes(256 * 1024))
        await peer.mux.wait_closed()
        assert isinstance(peer.mux.reason, LinkTimeout)


async def test_the_peer_finds_that_we_stopped_reading(program: Path) -> None:
    async with start_peer(program, "-keepalive=50ms", "-write-timeout=200ms", client=True) as peer:
        peer.connection.pause_reading()
        assert (await peer.tell("wait"))["closed"]


async def test_a_peer_that_does_not_accept_runs_into_the_open_timeout(program: Path) -> None:
    config = Config(stream_open_timeout=0.1)
    async with start_peer(program, "-accept=false", client=True, config=config) as peer:
        reader, writer, _ = await open_stream(peer.mux)
        with pytest.raises(LinkTimeout, match="acknowledged"):
            await reader.read()
        writer.close()


async def test_the_peer_runs_into_its_open_timeout(program: Path) -> None:
    async with start_peer(program, "-open-timeout=100ms", client=True) as peer:
        answer = await peer.tell("call 1 10 10 1")
        assert answer["errors"]
        await peer.mux.wait_closed()


async def test_streams_beyond_the_peers_backlog_wait_until_it_accepts(program: Path) -> None:
    config = Config(accept_backlog=4)
    async with start_peer(program, "-accept=false", "-backlog=4", client=True, config=config) as peer:
        calls = [asyncio.create_task(call(peer.mux, Mode.PLAIN, 100, 100)) for _ in range(20)]
        await peer.mux.ping()
        assert (await peer.tell("streams"))["streams"] == 4
        await peer.tell("accept")
        await asyncio.gather(*calls)


async def test_the_peers_streams_beyond_our_backlog_wait_until_we_listen(program: Path) -> None:
    async with start_peer(program, "-backlog=4", client=True, config=Config(accept_backlog=4)) as peer:
        calling = asyncio.create_task(peer.tell("call 20 2000 100 1"))
        while len(peer.mux.streams) < 4:
            await peer.mux.ping()
        servers = Servers(peer.mux)
        answer = await calling
        await servers.wait()
        assert answer["ok"] + answer["reset"] == 20


async def test_a_close_that_the_peer_does_not_answer_becomes_a_reset(program: Path) -> None:
    config = Config(stream_close_timeout=0.1)
    async with start_peer(program, "-accept=false", client=True, config=config) as peer:
        _, writer, transport = await open_stream(peer.mux)
        writer.close()
        await writer.wait_closed()
        assert transport.stream.sending is Half.ENDED
        await peer.mux.wait_idle()
        await peer.mux.ping()
        assert (await peer.tell("streams"))["streams"] == 0


async def test_the_peers_close_timeout_resets_our_stream(program: Path) -> None:
    async with start_peer(program, "-close-timeout=100ms", client=True) as peer:
        _, writer, _ = await open_stream(peer.mux)
        writer.write(bytes([Mode.HALF_CLOSE]) + bytes(8))
        writer.write(b"one byte too many, so that the peer gives up")
        with pytest.raises(StreamReset):
            await write_until_reset(peer.mux, writer)
        writer.close()
