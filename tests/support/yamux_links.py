"""Connections for tests of the mux: two muxes joined in memory or by a socket pair, and protocols that record."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from plugmux.yamux import Config, Mux
from plugmux.yamux.frame import DATA, unpack_header


class Recorder(asyncio.Protocol):
    """A protocol that writes down what it is told."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.keep_open = keep_open
        self.told: list[str] = []
        self.data = bytearray()
        self.error: Exception | None = None
        self.lost = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.told.append("data")

    def eof_received(self) -> bool:
        self.told.append("eof")
        if not self.ended.done():
            self.ended.set_result(None)
        return self.keep_open

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.error = exc
        self.lost.set_result(None)


class Accepted:
    """Makes the protocols of accepted streams, and keeps them."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.made: list[Recorder] = []

    def __call__(self) -> Recorder:
        self.made.append(Recorder(**self.options))
        return self.made[-1]


class Echo(asyncio.Protocol):
    """A protocol that sends back what comes, and FIN for FIN."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """Fail when the block has more than `limit` bytes allocated at any moment."""
    tracemalloc.start()
    try:
        start, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
        assert peak - start < limit, f"{peak - start} bytes at the peak"
    finally:
        tracemalloc.stop()


@asynccontextmanager
async def mux_pair(
    *,
    client: Config | None = None,
    server: Config | None = None,
    listen: Callable[[], asyncio.BaseProtocol] | None = Echo,
) -> AsyncIterator[tuple[Mux, Mux]]:
    """A client and a server on a socket pair; the server accepts with `listen`."""
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    a, b = Mux(client=True, config=client), Mux(client=False, config=server)
    if listen is not None:
        b.listen(listen)
    await loop.create_connection(lambda: a, sock=left)
    await loop.create_connection(lambda: b, sock=right)
    try:
        yield a, b
    finally:
        await a.close()
        await b.close()


async def reader_writer(mux: Mux) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a stream with asyncio's own reader and writer."""
    reader = asyncio.StreamReader()
    transport, protocol = await mux.create_connection(lambda: asyncio.StreamReaderProtocol(reader))
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


@asynccontextmanager
async def bare_peer(
    *,
    client: bool = False,
    config: Config | None = None,
    listen: Callable[[], asyncio.BaseProtocol] | None = Recorder,
) -> AsyncIterator[tuple[Mux, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A mux whose peer is the test itself, by hand: the mux, and what reads and writes at the peer's end."""
    left, right = socket.socketpair()
    mux = Mux(client=client, config=config)
    if listen is not None:
        mux.listen(listen)
    await asyncio.get_running_loop().create_connection(lambda: mux, sock=left)
    reader, writer = await asyncio.open_connection(sock=right)
    try:
        yield mux, reader, writer
    finally:
        mux.abort()
        writer.close()
        await mux.wait_closed()


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, int, int, int, bytes]:
    """The type, flags, stream id, length and payload of the next frame."""
    _, kind, flags, stream_id, length = unpack_header(await reader.readexactly(12))
    return kind, flags, stream_id, length, await reader.readexactly(length if kind == DATA else 0)
