"""plugmux over TLS: a Python host that dials its plugin, which listens.

python plugmux_tls.py serve FOLDER PORT          the plugin; the folder has the certificates
python plugmux_tls.py [-works LIST] [-seconds S] FOLDER PORT
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from bench.v1.bench_connect import BenchClient
from bench.v1.bench_pb2 import DownloadRequest, EchoRequest

from measure import KIB64, Bench, remote_arguments
from plugmux import TLS, Host, Remote, Runtime

PLUGIN = Path(__file__).parents[1] / "plugin.py"
BULK = 1024
"""Messages of 64 KiB: 64 MiB."""


async def measure(bench: Bench, folder: Path, port: int) -> None:
    remote = Remote(f"tls://127.0.0.1:{port}", name="plugin")
    async with Runtime([remote], host=Host(tls=TLS.directory(folder / "runtime"))) as runtime:
        client = runtime.client(BenchClient, plugin="plugin")

        async def echo(payload: bytes) -> None:
            assert len((await client.echo(EchoRequest(payload=payload))).payload) == len(payload)

        async def download(count: int, size: int) -> None:
            arrived = 0
            async for chunk in client.download(DownloadRequest(count=count, size=size)):
                arrived += len(chunk.payload)
            assert arrived == count * size

        await echo(b"")
        await bench.calls("unary-serial", 1, 100, echo)
        await bench.calls("unary-16", 16, 100, echo)
        await bench.stream("stream-64k", BULK, KIB64, download)
        link = runtime.plugin("plugin").link
        assert link is not None
        reader, writer = await link.open_stream("take")

        async def upload(count: int, size: int) -> None:
            writer.write((count * size).to_bytes(8, "big"))
            chunk = bytes(size)
            for _ in range(count):
                writer.write(chunk)
                await writer.drain()
            await reader.readexactly(8)

        await bench.stream("raw-bulk", BULK, KIB64, upload)
        writer.close()


def serve(folder: str, port: str) -> None:
    environ = os.environ | {"PLUGMUX_TLS_DIR": f"{folder}/plugin", "PLUGMUX_LISTEN": f"tls://127.0.0.1:{port}"}
    os.execve(sys.executable, [sys.executable, str(PLUGIN)], environ)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    bench, folder, port = remote_arguments("plugmux")
    asyncio.run(measure(bench, folder, port))
