"""Bytes through one stream of a mux on a socket pair: no HTTP, no RPC, as the Go peers measure hashicorp/yamux.

python mux_bulk.py WORK DESCRIPTOR [uvloop]        the end that takes them
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from measure import Move
from plugmux.yamux import Config, Mux

WINDOWS = {"raw-bulk": 256 * 1024, "raw-bulk-grown": 4 * 1024 * 1024}
"""What each work's windows begin with and stay at, in bytes, as the Go peers' do."""


class Meter(asyncio.Protocol):
    """Takes all that comes, and says at the end how much it was."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._arrived = 0

    def data_received(self, data: bytes) -> None:
        self._arrived += len(data)

    def eof_received(self) -> None:
        self._transport.write(self._arrived.to_bytes(8, "big"))
        self._transport.close()


class Source(asyncio.Protocol):
    """Writes chunks as fast as they are taken, half-closes, and hears how much has arrived."""

    def __init__(self, count: int, size: int) -> None:
        self._left = count
        self._chunk = bytes(size)
        self._answer = b""
        self._paused = False
        self.arrived: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        asyncio.get_running_loop().call_soon(self.resume_writing)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        while self._left and not self._paused:
            self._left -= 1
            self._transport.write(self._chunk)
        if not self._left and not self._paused:
            self._transport.write_eof()

    def data_received(self, data: bytes) -> None:
        self._answer += data

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.arrived.set_result(int.from_bytes(self._answer, "big"))
        else:
            self.arrived.set_exception(exc)


async def mux_on(sock: socket.socket, work: str, *, client: bool) -> Mux:
    window = WINDOWS[work]
    mux = Mux(client=client, config=Config(stream_window_size=window, max_stream_window_size=window))
    sock.setblocking(False)
    await asyncio.get_running_loop().create_unix_connection(lambda: mux, sock=sock)
    return mux


@asynccontextmanager
async def moving(work: str, *flags: str) -> AsyncIterator[Move]:
    """What moves a bulk through a stream to a process of its own."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, __file__, work, str(theirs.fileno()), *flags]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    mux = await mux_on(ours, work, client=False)

    async def pour(count: int, size: int) -> None:
        _, source = await mux.create_connection(lambda: Source(count, size))
        assert await source.arrived == count * size

    try:
        yield pour
    finally:
        await mux.close()
        await asyncio.to_thread(process.wait)


async def serve(work: str, descriptor: int) -> None:
    mux = await mux_on(socket.socket(fileno=descriptor), work, client=True)
    mux.listen(Meter)
    await mux.wait_closed()


if __name__ == "__main__":
    work, descriptor, *flags = sys.argv[1:]
    factory = None
    if "uvloop" in flags:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(work, int(descriptor)))
