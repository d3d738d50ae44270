import asyncio

from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest
from plugmux import Runtime


async def main():
    async with Runtime(["plugin:plugin"]) as runtime:
        kv = runtime.client(KeyValueClient)
        await kv.put(PutRequest(key="a", value=b"1"))
        print((await kv.get(GetRequest(key="a"))).value.decode())


asyncio.run(main())
