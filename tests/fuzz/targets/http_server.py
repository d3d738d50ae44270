"""Any bytes as a connection to the HTTP server: it ends, and leaves no connection and no task."""

from __future__ import annotations

import asyncio
from typing import Any

from fuzz.loop import pieces, run
from plugmux.http import HttpLimits, Server
from support.http_peers import EchoCall, FastPathEcho, Wire, echo, join


def check(data: bytes) -> None:
    """The first byte chooses the app, the second the size of the pieces."""
    app = FastPathEcho(EchoCall(limit=100)) if data[:1] < b"\x80" else echo
    run(_serve(app, pieces(data[1:])))


async def _serve(app: Any, data: list[bytes]) -> None:
    server = Server(app, limits=HttpLimits(buffer_bytes=256), lifespan=False)
    wire = Wire()
    join(wire, server.protocol())
    for piece in data:
        wire.send(piece)
        await asyncio.sleep(0)
    wire.transport.write_eof()
    wire.transport.close()
    await wire.until_lost()
    await server.shutdown(0)
    assert not server.connections
    assert not server.tasks
