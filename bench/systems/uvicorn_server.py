"""uvicorn on a unix socket, in a process of its own: the server of the systems that are ASGI apps."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

__all__ = ["serve", "served"]


def serve(app: Any, path: str, **options: Any) -> None:
    """Serve an app on a socket, in this process."""
    import uvicorn

    # The event loop is asyncio's own for all, unless a system's name says otherwise.
    uvicorn.run(app, uds=path, loop="asyncio", log_level="critical", access_log=False, lifespan="off", **options)


@asynccontextmanager
async def served(program: str) -> AsyncIterator[Path]:
    """Give the socket on which a program listens that is run with its path, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "s"
        process = await asyncio.create_subprocess_exec(sys.executable, program, str(socket))
        try:
            await _connected(socket)
            yield socket
        finally:
            process.kill()
            await process.wait()


async def _connected(socket: Path) -> None:
    """Return when a server listens."""
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(socket)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
