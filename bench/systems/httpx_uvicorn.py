"""httpx as the client, uvicorn as the server, over a unix socket: a POST that is answered with its own body."""

from __future__ import annotations

import sys
from typing import Any

import httpx
from uvicorn_server import serve, served

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


async def measure(bench: Bench) -> None:
    async with served(__file__) as socket:
        transport = httpx.AsyncHTTPTransport(uds=str(socket), retries=20)
        async with httpx.AsyncClient(transport=transport, base_url="http://unix", timeout=60) as client:

            async def echo(payload: bytes) -> None:
                assert len((await client.post("/", content=payload)).content) == len(payload)

            await bench.calls("unary-serial", 1, 100, echo)
            await bench.calls("unary-16", 16, 100, echo)
            await bench.calls("unary-64k", 1, KIB64, echo)
            await bench.calls("unary-1m", 1, MIB, echo)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(app, sys.argv[1], http="h11")
    else:
        run("httpx-uvicorn", measure)
