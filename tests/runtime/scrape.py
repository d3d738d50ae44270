"""Print what `GET /metrics` of a runtime gives: three plugins in three languages, and one that does not start.

`make metrics` lets Prometheus' own tool check it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from kv.v1.kv_connect import AuditService, KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest, RecordRequest, RecordResponse, WatchRequest

from plugmux import Launch, RpcError, Runtime
from plugmux.connect import Context
from plugmux.exchange import Request
from plugmux.http import SocketClient

ROOT = Path(__file__).parents[2]
PLUGINS = ["examples/python-plugin/python-plugin", "bin/go-plugin", "examples/ts-plugin/dist/ts-plugin"]


class Audit(AuditService):
    async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
        return RecordResponse()


async def scrape() -> bytes:
    """Make calls of every kind between two scrapes, and give the second."""
    launches = [
        Launch([sys.executable, str(ROOT / PLUGINS[0])] if "python" in plugin else [str(ROOT / plugin)])
        for plugin in PLUGINS
    ]
    with tempfile.TemporaryDirectory() as folder:
        listen = [f"unix:{folder}/private/s"]
        async with Runtime([*launches, "./missing"], services=[Audit()], listen=listen) as runtime:
            client = SocketClient(runtime.addresses[0])
            request = Request("/metrics", method="GET")
            await client.fetch(request, 1 << 22)
            for _, kv in runtime.clients(KeyValueClient):
                await kv.put(PutRequest(key="a", value=b"1"))
                await kv.get(GetRequest(key="a"))
                with suppress(RpcError):
                    await kv.get(GetRequest(key="missing"))
                async with kv.watch(WatchRequest(key="a")) as values:
                    await anext(values)
            return (await client.fetch(request, 1 << 22)).body


if __name__ == "__main__":
    sys.stdout.buffer.write(asyncio.run(scrape()))
