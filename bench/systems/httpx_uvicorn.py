"""httpx as the client, uvicorn as the server, over a unix socket: a POST that is answered with its own body."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from measure import KIB64, MIB, Bench, run


async def app(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def serve(path: str) -> None:
    import uvicorn

    # The event loop is asyncio's own for all, unless a system's name says otherwise.
    uvicorn.run(app, uds=path, loop="asyncio", http="h11", log_level="critical", access_log=False, lifespan="off")


async def measure(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        process = await asyncio.create_subprocess_exec(sys.executable, __file__, str(path))
        while not path.exists():
            await asyncio.sleep(0.01)
        transport = httpx.AsyncHTTPTransport(uds=str(path), retries=20)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://unix", timeout=60) as client:

                async def echo(payload: bytes) -> None:
                    assert len((await client.post("/", content=payload)).content) == len(payload)

                await bench.calls("unary-serial", 1, 100, echo)
                await bench.calls("unary-16", 16, 100, echo)
                await bench.calls("unary-64k", 1, KIB64, echo)
                await bench.calls("unary-1m", 1, MIB, echo)
        finally:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    else:
        run("httpx-uvicorn", measure)
