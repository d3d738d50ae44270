"""The plugin of these tests: tells where it runs, and waits as long as it is told."""

import asyncio
import os

from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse

from plugmux import Plugin
from plugmux.connect import Context
from plugmux.plugin import Traits
from plugmux.yamux import Config


class Store(KeyValueService):
    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        await asyncio.sleep(float(request.key or 0))
        return GetResponse(value=os.environ.get("WHERE", "").encode())


short = float(os.environ.get("SHORT", "0"))
mux = Config(enable_keep_alive=True, keep_alive_interval=short, connection_write_timeout=short) if short else None
Plugin(Store(), name="kv", version="v1.0.0", traits=Traits(replica=True), mux=mux).run()
