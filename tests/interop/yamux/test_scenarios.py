"""What hashicorp/yamux is tested with, against our mux directly, and with our mux as a relay between two of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from plugmux.errors import StreamReset
from plugmux.yamux import Config, Mux
from support.yamux_exchange import Servers, open_stream
from support.yamux_go import Peer, both_ways, start_peer

MIB = 1024 * 1024
SMALL = Config(stream_window_size=256 * 1024, max_stream_window_size=256 * 1024, accept_backlog=64)
GROWING = Config(accept_backlog=64)
KINDS = ["direct", "relay"]


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction of a stream to its end."""
    try:
        while data := await reader.read(100_000):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (StreamReset, ConnectionError):
        writer.transport.abort()


class Relay:
    """Joins each stream that one mux accepts to one that it opens on another, both ways round."""

    def __init__(self, one: Mux, other: Mux) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        for source, target in ((one, other), (other, one)):
            source.listen(lambda target=target: self._protocol(target))  # type: ignore[misc]

    def _protocol(self, target: Mux) -> asyncio.StreamReaderProtocol:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._join(target, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), accepted)

    async def _join(self, target: Mux, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer, _ = await open_stream(target)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        far_writer.close()
        writer.close()


@asynccontextmanager
async def scenario(program: Path, kind: str, config: Config | None, *options: str) -> AsyncIterator[Peer]:
    """A peer whose streams we serve, or relay to another peer that serves them."""
    async with start_peer(program, *options, client=False, config=config) as peer:
        if kind == "direct":
            Servers(peer.mux)
            yield peer
        else:
            async with start_peer(program, *options, client=True, config=config) as far:
                Relay(peer.mux, far.mux)
                yield peer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("config", [SMALL, GROWING], ids=["small windows", "growing windows"])
@pytest.mark.parametrize("count", [1, 64, 512])
async def test_many_streams_with_a_backlog_of_64(program: Path, kind: str, config: Config | None, count: int) -> None:
    async with scenario(program, kind, config, "-backlog=64") as peer:
        answer = await peer.tell(f"call {count} {16 * MIB} {4 * MIB} 7")
        assert not answer["errors"]
        assert answer["ok"] + answer["reset"] == count


@pytest.mark.parametrize("kind", KINDS)
async def test_16_streams_of_256_mib(program: Path, kind: str) -> None:
    async with scenario(program, kind, None) as peer:
        answer = await peer.tell(f"bulk 16 {256 * MIB}")
        assert not answer["errors"]
        assert answer["ok"] == 16


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 1000, 256 * 1024, 4 * MIB])
async def test_a_stream_that_is_closed_with_unread_bytes_does_not_disturb_others(
    program: Path, kind: str, size: int
) -> None:
    async with scenario(program, kind, SMALL, "-close-timeout=200ms") as peer:
        for _ in range(10):
            assert (await peer.tell(f"unread {size}"))["error"] == ""
        answer = await peer.tell(f"call 20 {4 * MIB} {MIB} 3")
        assert not answer["errors"]


@pytest.mark.parametrize("client", [True, False], ids=["we are the client", "we are the server"])
async def test_both_ways_at_once_with_a_backlog_of_64(program: Path, client: bool) -> None:
    async with start_peer(program, "-backlog=64", client=client, config=SMALL) as peer:
        ours, theirs = await both_ways(peer, 300, 16 * MIB, 5)
        assert ours.errors == theirs.errors == []
