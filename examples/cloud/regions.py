#!/usr/bin/env python3
"""A host that uses two regions of a cloud plugin: it uploads to one, copies to the other, and reads there.

regions.py COMMAND...     the command starts the plugin
"""

import asyncio
import sys

from cloud.v1.cloud_connect import FileClient, ProgressService, StorageClient
from cloud.v1.cloud_pb2 import CopyRequest, OpenRequest, ReadRequest, ReportRequest, ReportResponse, UploadRequest

from plugmux import Launch, Runtime
from plugmux.connect import Context


class Progress(ProgressService):
    """An object of the host that the plugin calls."""

    async def report(self, request: ReportRequest, context: Context) -> ReportResponse:
        print(f"uploaded {request.percent} %")
        return ReportResponse()


async def main(command: list[str]) -> None:
    async with (
        Runtime([Launch(command, name="cloud")]) as runtime,
        await runtime.open_instance("cloud", {"region": "frankfurt"}) as frankfurt,
        await runtime.open_instance("cloud", {"region": "ohio"}) as ohio,
    ):
        async with runtime.lend(Progress(), to="cloud") as progress:
            upload = UploadRequest(name="greeting", content=b"hello from Frankfurt", progress=progress)
            print("kept at", (await frankfurt.client(StorageClient).upload(upload)).address)
        async with runtime.lend(ohio, to="cloud") as target:
            copy = await frankfurt.client(StorageClient).copy(CopyRequest(name="greeting", to=target))
            print("copied to", copy.address)
        opened = await ohio.client(StorageClient).open(OpenRequest(name="greeting"))
        async with ohio.borrow(opened.file) as file:
            print("it reads:", (await file.client(FileClient).read(ReadRequest())).content.decode())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
