"""The floor over TLS: asyncio's own TLS connections and streams, with nothing on top.

python raw_tls.py serve FOLDER PORT
python raw_tls.py [-works LIST] [-seconds S] FOLDER PORT
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from measure import KIB64, Bench, remote_arguments
from plugmux import TLS

ECHO, DOWNLOAD, UPLOAD = b"e", b"d", b"u"
"""What a connection is for: its first byte. A number and a size of 8 bytes each follow where bytes move one way."""

BULK = 1024
MOST = 1024 * 1024


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Echo, send what is asked for, or take as much as is announced and say that it has come."""
    try:
        what = await reader.readexactly(1)
        while what == ECHO and (data := await reader.read(MOST)):
            writer.write(data)
        while what in (DOWNLOAD, UPLOAD):
            count, size = [int.from_bytes(await reader.readexactly(8), "big") for _ in range(2)]
            if what == DOWNLOAD:
                await pour(writer, count, size)
            else:
                await take(reader, count * size)
                writer.write(bytes(8))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # The other end has all that it wanted.
    finally:
        writer.transport.abort()


async def pour(writer: asyncio.StreamWriter, count: int, size: int) -> None:
    chunk = bytes(size)
    for _ in range(count):
        writer.write(chunk)
        await writer.drain()


async def take(reader: asyncio.StreamReader, left: int) -> None:
    while left:
        left -= len(await reader.read(min(MOST, left)))


async def measure(bench: Bench, folder: Path, port: int) -> None:
    context = TLS.directory(folder / "runtime").client_context()

    async def dial(what: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        made = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
        made[1].write(what)
        return made

    echoed, downloaded, uploaded = [await dial(what) for what in (ECHO, DOWNLOAD, UPLOAD)]

    async def echo(payload: bytes) -> None:
        echoed[1].write(payload)
        await echoed[0].readexactly(len(payload))

    async def download(count: int, size: int) -> None:
        downloaded[1].write(count.to_bytes(8, "big") + size.to_bytes(8, "big"))
        await take(downloaded[0], count * size)

    async def upload(count: int, size: int) -> None:
        uploaded[1].write(count.to_bytes(8, "big") + size.to_bytes(8, "big"))
        await pour(uploaded[1], count, size)
        await uploaded[0].readexactly(8)

    await bench.calls("unary-serial", 1, 100, echo)
    await bench.stream("stream-64k", BULK, KIB64, download)
    await bench.stream("raw-bulk", BULK, KIB64, upload)
    for _, writer in (echoed, downloaded, uploaded):
        writer.transport.abort()


async def serve(folder: Path, port: int) -> None:
    context = TLS.directory(folder / "plugin").server_context()
    server = await asyncio.start_server(serve_one, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve(Path(sys.argv[2]), int(sys.argv[3])))
    bench, folder, port = remote_arguments("raw-tls")
    asyncio.run(measure(bench, folder, port))
