"""FastAPI on uvicorn, over a unix socket: a model that is answered with itself.

uvicorn parses with httptools, as FastAPI's documentation recommends, where that is installed.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from fastapi import FastAPI
from json_load import ECHO, WORK, load
from pydantic import BaseModel

from measure import Bench, run

app = FastAPI()


class Echo(BaseModel):
    payload: str


@app.post(ECHO)
async def echo(request: Echo) -> Echo:
    return request


def serve(path: str) -> None:
    import uvicorn

    # The event loop is asyncio's own for all, unless a system's name says otherwise.
    uvicorn.run(app, uds=path, loop="asyncio", log_level="critical", access_log=False, lifespan="off")


async def connected(socket: Path) -> None:
    """Return when a server listens."""
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(socket)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


async def measure(bench: Bench) -> None:
    if not bench.wants(WORK):
        return
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "s"
        process = await asyncio.create_subprocess_exec(sys.executable, __file__, str(socket))
        try:
            await connected(socket)
            await load(bench, socket)
        finally:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    else:
        run("uvicorn-fastapi", measure)
