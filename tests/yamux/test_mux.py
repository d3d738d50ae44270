"""The mux on real sockets, through asyncio's own stream classes."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from plugmux.errors import SessionClosed
from support.yamux_links import Recorder, mux_pair, reader_writer


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
        got: list[Recorder] = []

        def factory() -> Recorder:
            got.append(Recorder())
            return got[-1]

        server.listen(factory)
        await got[0].ended
        assert got[0].data == b"early"
        assert await reader.read() == b""
        writer.close()


async def test_closing_tells_the_open_streams_of_both_sides() -> None:
    seen: list[Recorder] = []

    def factory() -> Recorder:
        seen.append(Recorder())
        return seen[-1]

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
