#!/usr/bin/env python3
"""A TCP proxy that passes everything on after a delay, as a line of that length would, and bounds no rate.

python delay.py LISTEN CONNECT RTT        two ports of loopback, and the seconds of a round trip
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import deque

MAX_HELD = 64 * 1024 * 1024
"""Bytes that may be under way in one direction: more than any window of those that are measured."""


class End(asyncio.Protocol):
    """One end of a connection that passes: what comes goes to the other end after the delay."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._held: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self.other: End
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=MAX_HELD)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._held.append((loop.time() + self._delay, data))
        self._size += len(data)
        if len(self._held) == 1:
            loop.call_at(self._held[0][0], self._pass)
        if self._size > MAX_HELD:
            self.transport.pause_reading()

    def _pass(self) -> None:
        loop = asyncio.get_running_loop()
        now, due = loop.time(), []
        while self._held and self._held[0][0] <= now:
            due.append(self._held.popleft()[1])
        data = b"".join(due)
        self._size -= len(data)
        self.other.transport.write(data)
        if self._held:
            loop.call_at(self._held[0][0], self._pass)
        if self._size <= MAX_HELD:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        asyncio.get_running_loop().call_later(self._delay, self.other.transport.close)


async def serve(listen: int, connect: int, rtt: float) -> None:
    loop = asyncio.get_running_loop()

    async def join(near: End) -> None:
        _, far = await loop.create_connection(lambda: End(rtt / 2), "127.0.0.1", connect)
        near.other, far.other = far, near
        near.transport.resume_reading()

    class Near(End):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()
            self.joining = loop.create_task(join(self))

    server = await loop.create_server(lambda: Near(rtt / 2), "127.0.0.1", listen)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
