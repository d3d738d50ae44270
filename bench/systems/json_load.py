"""`socket-json-64`: what 64 clients of a unix socket get, each with a connection of its own and one call in flight.

The clients are those of `peers load`, for every server alike.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from measure import Bench
from plugin import Service
from plugmux import Runtime

__all__ = ["ECHO", "WORK", "load", "socket_json_64"]

WORK = "socket-json-64"
ECHO = "/bench.v1.BenchService/Echo"
PEERS = Path(__file__).parents[2] / "bin" / "bench-peers"


async def load(bench: Bench, socket: Path) -> None:
    """Let the clients call the server of a socket; they print the row."""
    command = [str(PEERS), "-seconds", str(bench.seconds), "load", bench.system, str(socket)]
    clients = await asyncio.create_subprocess_exec(*command)
    if status := await clients.wait():
        raise SystemExit(status)


async def socket_json_64(bench: Bench) -> None:
    """JSON calls of a service that the runtime serves on its socket."""
    if not bench.wants(WORK):
        return
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "s"
        async with Runtime(listen=[f"unix:{socket}"]) as runtime:
            runtime.mount(Service())
            await load(bench, socket)
