"""A runtime on a host of its own, which does with its plugins all that a link carries, and tells what it has done.

python exercise.py {"tls": DIRECTORY, "listen": ADDRESS or "", "remotes": {NAME: ADDRESS}, "languages": [...]}
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import sys
from collections.abc import Awaitable, Callable

from cloud.v1.cloud_connect import FileClient, StorageClient
from cloud.v1.cloud_pb2 import OpenRequest, ReadRequest, UploadRequest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest, WatchRequest
from sum.v1.sum_connect import SumClient
from sum.v1.sum_pb2 import RunningRequest, SumRequest

from plugmux import TLS, Host, Remote, Runtime
from plugmux.runtime import State
from plugmux.secrets import Resolver
from support.cloud import Progress
from support.probe import Audit
from support.probe import Host as SumHost
from support.remote import until

DATA = random.Random(1).randbytes(3 * 1024 * 1024 + 1)
TIME = 60.0


async def get_a_secret(runtime: Runtime, language: str) -> None:
    secret = await Resolver(runtime).get(f"{language}/greeting")
    assert secret.value.startswith(b"hello from ")


async def call(runtime: Runtime, language: str) -> None:
    kv = runtime.client(KeyValueClient, plugin=f"{language}-plugin")
    key = f"of {os.getpid()}"  # The other runtime does the same with the same plugin.
    for size in (1, 300_000):
        await kv.put(PutRequest(key=key, value=b"x" * size), timeout=TIME)
        assert (await kv.get(GetRequest(key=key), timeout=TIME)).value == b"x" * size


async def server_stream(runtime: Runtime, language: str) -> None:
    arrived = 0
    async for value in runtime.client(KeyValueClient, plugin=f"{language}-probe").watch(
        WatchRequest(key="flood"), timeout=TIME
    ):
        arrived += len(value.value)
        if arrived > 8 << 20:
            break


async def client_stream(runtime: Runtime, language: str) -> None:
    sums = runtime.client(SumClient, plugin=f"{language}-probe")
    assert (await sums.sum([SumRequest(number=n) for n in range(100)], timeout=TIME)).sum == 4950


async def both_ways(runtime: Runtime, language: str) -> None:
    async with runtime.client(SumClient, plugin=f"{language}-probe").running(timeout=TIME) as replies:
        for number, expected in ((1, 1), (2, 3), (3, 6)):
            await replies.send(RunningRequest(number=number))
            assert (await anext(replies)).sum == expected
        await replies.close_send()


async def call_back(runtime: Runtime, language: str) -> None:
    sums = runtime.client(SumClient, plugin=f"{language}-probe")
    assert (await sums.sum([SumRequest(number=5, order="forward")], timeout=TIME)).sum == -5


async def raw_stream(runtime: Runtime, language: str) -> None:
    link = runtime.plugin(f"{language}-probe").link
    assert link is not None
    reader, writer = await link.open_stream("sha256")
    writer.write(DATA)
    writer.write_eof()
    assert (await reader.read()).decode() == hashlib.sha256(DATA).hexdigest()
    writer.close()


async def raw_stream_back(runtime: Runtime, language: str) -> None:
    kv = runtime.client(KeyValueClient, plugin=f"{language}-probe")
    assert (await kv.get(GetRequest(key="open shout"), timeout=TIME)).value == b"HELLO"


async def instance(runtime: Runtime, language: str) -> None:
    async with await runtime.open_instance(f"{language}-cloud", {"region": "eu"}, timeout=TIME) as region:
        storage = region.client(StorageClient)
        assert (await storage.upload(UploadRequest(name="a"), timeout=TIME)).address == "eu/a"


async def objects(runtime: Runtime, language: str) -> None:
    """One of the host's that the plugin calls, and one of the plugin's that the host calls."""
    async with await runtime.open_instance(f"{language}-cloud", {"region": "eu"}, timeout=TIME) as region:
        storage, progress = region.client(StorageClient), Progress()
        async with runtime.lend(progress, to=f"{language}-cloud") as reference:
            await storage.upload(UploadRequest(name="a", content=b"text", progress=reference), timeout=TIME)
        assert progress.reports == [0, 50, 100]
        async with region.borrow((await storage.open(OpenRequest(name="a"), timeout=TIME)).file) as file:
            assert (await file.client(FileClient).read(ReadRequest(), timeout=TIME)).content == b"text"


CARRIED: dict[str, Callable[[Runtime, str], Awaitable[None]]] = {
    "get": get_a_secret,
    "call": call,
    "server stream": server_stream,
    "client stream": client_stream,
    "both ways": both_ways,
    "call back": call_back,
    "raw stream": raw_stream,
    "raw stream back": raw_stream_back,
    "instance": instance,
    "objects": objects,
}
KINDS = ("plugin", "probe", "cloud")
"""The plugins of each language."""


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.read()).upper())


async def exercise(runtime: Runtime, language: str) -> dict[str, str]:
    """Do all with the plugins of a language; what came of each."""
    told = {}
    for what, do in CARRIED.items():
        try:
            await do(runtime, language)
            told[what] = "ok"
        except Exception as error:
            told[what] = f"{type(error).__name__}: {error}"
    return told


async def main(tls: str, listen: str, remotes: dict[str, str], languages: list[str]) -> None:
    names = {f"{language}-{kind}" for language in languages for kind in KINDS}
    runtime = Runtime(
        [Remote(address, name=name) for name, address in remotes.items()],
        listen=[listen] if listen else [],
        host=Host(tls=TLS.directory(tls)),
        services=[Audit(), SumHost()],
        streams={"shout": shout},
    )
    async with runtime:
        try:
            await until(lambda: {each.name for each in runtime.plugins() if each.state is State.RUNNING} == names)
        except TimeoutError:
            raise SystemExit(str([(each.name, each.state, each.status) for each in runtime.plugins()])) from None
        told = await asyncio.gather(*(exercise(runtime, language) for language in languages))
    print(json.dumps(dict(zip(languages, told, strict=True))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
