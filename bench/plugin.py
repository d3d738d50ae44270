#!/usr/bin/env python3
"""The benchmark's service as a plugin in Python; with `uvloop` on that."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

from bench.v1.bench_connect import BenchService
from bench.v1.bench_pb2 import Chunk, DownloadRequest, EchoRequest, EchoResponse, UploadResponse

from plugmux import Plugin
from plugmux.connect import Context


class Service(BenchService):
    async def echo(self, request: EchoRequest, context: Context) -> EchoResponse:
        return EchoResponse(payload=request.payload)

    async def download(self, request: DownloadRequest, context: Context) -> AsyncIterator[Chunk]:
        chunk = Chunk(payload=bytes(request.size))
        for _ in range(request.count):
            yield chunk

    async def upload(self, requests: AsyncIterator[Chunk], context: Context) -> UploadResponse:
        response = UploadResponse()
        async for chunk in requests:
            response.count += 1
            response.bytes += len(chunk.payload)
        return response


async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes all that comes, and says at the end how much it was."""
    arrived = 0
    while data := await reader.read(1024 * 1024):
        arrived += len(data)
    writer.write(arrived.to_bytes(8, "big"))
    writer.write_eof()


async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes as many bytes as 8 bytes announce, says that they have come, and begins again."""
    while announced := await reader.read(8):
        left = int.from_bytes(announced + await reader.readexactly(8 - len(announced)), "big")
        while left and (data := await reader.read(min(1024 * 1024, left))):
            left -= len(data)
        writer.write(bytes(8))


if __name__ == "__main__":
    loop_factory = None
    if "uvloop" in sys.argv:
        import uvloop

        loop_factory = uvloop.new_event_loop
    Plugin(Service(), version="v1.0.0", streams={"sink": sink, "take": take}).run(loop_factory=loop_factory)
