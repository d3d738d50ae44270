"""grpc.aio on both ends, over a unix socket; over TLS by `grpc_tls.py`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from bench.v1.bench_pb2 import Chunk, DownloadRequest, EchoRequest, EchoResponse, UploadResponse

from measure import Bench, achunks, run

SERVICE = "bench.v1.BenchService"
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


async def echo(request: EchoRequest, context: Any) -> EchoResponse:
    return EchoResponse(payload=request.payload)


async def download(request: DownloadRequest, context: Any) -> AsyncIterator[Chunk]:
    chunk = Chunk(payload=bytes(request.size))
    for _ in range(request.count):
        yield chunk


async def upload(requests: AsyncIterator[Chunk], context: Any) -> UploadResponse:
    response = UploadResponse()
    async for chunk in requests:
        response.count += 1
        response.bytes += len(chunk.payload)
    return response


async def serve(address: str, credentials: grpc.ServerCredentials | None = None) -> None:
    server = grpc.aio.server(options=UNLIMITED)
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo, EchoRequest.FromString, EchoResponse.SerializeToString),
        "Download": grpc.unary_stream_rpc_method_handler(download, DownloadRequest.FromString, Chunk.SerializeToString),
        "Upload": grpc.stream_unary_rpc_method_handler(upload, Chunk.FromString, UploadResponse.SerializeToString),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    if credentials is None:
        server.add_insecure_port(address)
    else:
        server.add_secure_port(address, credentials)
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """The server, as a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{Path(folder) / 's'}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, address, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await process.stdout.readline()
        try:
            yield address
        finally:
            process.kill()
            await process.wait()


async def measure(bench: Bench) -> None:
    async with server() as address:
        await measure_over(bench, grpc.aio.insecure_channel(address, options=UNLIMITED))


async def measure_over(bench: Bench, channel: grpc.aio.Channel) -> None:
    async with channel:
        call_echo = channel.unary_unary(f"/{SERVICE}/Echo", EchoRequest.SerializeToString, EchoResponse.FromString)
        call_download = channel.unary_stream(
            f"/{SERVICE}/Download", DownloadRequest.SerializeToString, Chunk.FromString
        )
        call_upload = channel.stream_unary(f"/{SERVICE}/Upload", Chunk.SerializeToString, UploadResponse.FromString)

        async def echo_once(payload: bytes) -> None:
            assert len((await call_echo(EchoRequest(payload=payload))).payload) == len(payload)

        async def download_once(count: int, size: int) -> None:
            arrived = 0
            async for chunk in call_download(DownloadRequest(count=count, size=size)):
                arrived += len(chunk.payload)
            assert arrived == count * size

        async def upload_once(count: int, size: int) -> None:
            assert (await call_upload(achunks(count, size, Chunk))).bytes == count * size

        await bench.rpc(echo_once, download_once, upload_once)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("unix:"):
        asyncio.run(serve(sys.argv[1]))
    else:
        run("grpc-aio", measure)
