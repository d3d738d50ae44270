"""A link from its first byte: a mux on a socket, with an HTTP server on its streams."""

from __future__ import annotations

import asyncio
import socket

from fuzz.loop import pieces, run
from plugmux.http import Server
from plugmux.yamux import Config, Mux
from support.http_peers import EchoCall, FastPathEcho

LIMIT = 1 << 20


async def _serve(data: bytes) -> None:
    server = Server(FastPathEcho(EchoCall(limit=4096)), lifespan=False)
    ours, theirs = socket.socketpair()
    with theirs:
        mux = Mux(client=False, config=Config(busy_poll=0, max_link_memory=LIMIT))
        mux.listen(server.protocol)
        await asyncio.get_running_loop().create_unix_connection(lambda: mux, sock=ours)
        for piece in pieces(data):
            mux.feed(piece)
            await asyncio.sleep(0)
            assert mux.held <= LIMIT
        mux.abort()
        await mux.wait_closed()
    await server.shutdown(0)
    assert mux.held == 0


def check(data: bytes) -> None:
    """The first byte tells in which pieces the others come."""
    run(_serve(data))
