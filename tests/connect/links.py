"""A mux link between an app and its caller, in one process; and a TCP port for an app."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from plugmux.http import Server, StreamClient
from plugmux.yamux import Mux


@asynccontextmanager
async def linked(app: Any) -> AsyncIterator[StreamClient]:
    """Serve the app at one end of a link; gives the client at the other."""
    async with joined(app) as mux:
        yield StreamClient(mux.open)


@asynccontextmanager
async def joined(app: Any) -> AsyncIterator[Mux]:
    """Serve the app at one end of a link; gives the mux at the other."""
    near, far = Mux(client=True), Mux(client=False)
    server = Server(app)
    await server.startup()
    far.listen(server.protocol)
    loop = asyncio.get_running_loop()
    for mux, sock in zip((near, far), socket.socketpair(), strict=True):
        sock.setblocking(False)
        await loop.create_connection(lambda mux=mux: mux, sock=sock)  # type: ignore[misc]
    try:
        yield near
    finally:
        await near.close()
        await far.close()
        await server.shutdown(5)


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """Serve the app on a TCP port with our HTTP server; gives its URL."""
    server = Server(app)
    await server.startup()
    listener = await asyncio.get_running_loop().create_server(server.protocol, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        await server.shutdown(5)
        await listener.wait_closed()
