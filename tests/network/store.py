"""The plugin of these tests: tells where it runs, and waits as long as it is told.

With `HOLD` it answers no call of the key "hold", and no Put; it tells on stderr of each that has come.
"""

import asyncio
import os
import sys

from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse, PutRequest, PutResponse

from plugmux import Plugin
from plugmux.connect import Context
from plugmux.plugin import Traits, connection
from plugmux.yamux import Config

HOLD = "HOLD" in os.environ


class Store(KeyValueService):
    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        if request.key == "hold":
            await came("get")
        else:
            await asyncio.sleep(float(request.key or 0))
        return GetResponse(value=os.environ.get("WHERE", "").encode())

    async def put(self, request: PutRequest, context: Context) -> PutResponse:
        await came(f"put {request.key}")
        return PutResponse()


async def came(what: str) -> None:
    print(f"<{what}>", file=sys.stderr, flush=True)
    if HOLD:
        await asyncio.Event().wait()


if HOLD:
    connection.PLUGIN_DRAIN_TIME = 0.5  # What it holds ends with its link, and does so soon.
short = float(os.environ.get("SHORT", "0"))
mux = Config(enable_keep_alive=True, keep_alive_interval=short, connection_write_timeout=short) if short else None
Plugin(Store(), name="kv", version="v1.0.0", traits=Traits(replica=True), mux=mux).run()
