#!/usr/bin/env python3
"""What TLS over loopback costs beside a unix socket, and how soon 200 plugins link again. (`make bench-remote`)

The plugin is a process of its own, which dials. Each round measures every kind of address in turn; what is printed is
the median of the rounds' ratios to the unix socket.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from bench.v1.bench_connect import BenchClient
from bench.v1.bench_pb2 import DownloadRequest, EchoRequest

from plugin import Service
from plugmux import TLS, Host, Permissions, Plugin, Runtime
from plugmux.network.authority import Authority, save
from plugmux.plugin import Traits
from plugmux.plugin.network import NetworkLinks
from plugmux.runtime import State

PLUGINS = 200
CHUNK = 64 * 1024
PLUGIN = Path(__file__).with_name("plugin.py")
KINDS = ("unix", "tcp", "tls")


@asynccontextmanager
async def linked(kind: str, folder: Path) -> AsyncIterator[BenchClient]:
    """A client of a plugin that has dialled a runtime over some kind of address."""
    listen = f"unix:{folder}/{kind}.sock" if kind == "unix" else f"{kind}://127.0.0.1:0"
    async with Runtime(listen=[listen], host=Host(tls=TLS.directory(folder / "runtime"))) as runtime:
        environ = os.environ | {"PLUGMUX_SOCKET": runtime.addresses[0], "PLUGMUX_TLS_DIR": str(folder / "plugin")}
        process = await asyncio.create_subprocess_exec(sys.executable, str(PLUGIN), env=environ)
        try:
            while not any(plugin.state is State.RUNNING for plugin in runtime.plugins()):
                await asyncio.sleep(0.01)
            yield runtime.client(BenchClient)
        finally:
            process.terminate()
            await process.wait()


async def calls(client: BenchClient, seconds: float, at_once: int) -> float:
    """Calls of 100 bytes in a second."""
    request, count, end = EchoRequest(payload=bytes(100)), 0, time.perf_counter() + seconds

    async def calling() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await client.echo(request)
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(calling() for _ in range(at_once)))
    return count / (time.perf_counter() - began)


async def bulk(client: BenchClient, seconds: float) -> float:
    """Bytes in a second of a stream of chunks."""
    arrived, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        async for chunk in client.download(DownloadRequest(size=CHUNK, count=200)):
            arrived += len(chunk.payload)
    return arrived / (time.perf_counter() - began)


WORKS: dict[str, Callable[[BenchClient, float], Coroutine[Any, Any, float]]] = {
    "serial": lambda client, seconds: calls(client, seconds, 1),
    "16 in flight": lambda client, seconds: calls(client, seconds, 16),
    "bulk, by 64 KiB": bulk,
}


async def compare(folder: Path, rounds: int, seconds: float) -> None:
    async with AsyncExitStack() as stack:
        clients = {kind: await stack.enter_async_context(linked(kind, folder)) for kind in KINDS}
        for name, work in WORKS.items():
            ratios: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for _ in range(rounds):
                rates = {kind: await work(client, seconds) for kind, client in clients.items()}
                for kind, rate in rates.items():
                    ratios[kind].append(rate / rates["unix"])
            shown = "  ".join(f"{kind} {statistics.median(ratios[kind]):.2f}" for kind in KINDS[1:])
            print(f"{name:16}  {shown}  of a unix socket")


async def storm(folder: Path) -> None:
    """200 plugins of this process, whose links all end at the same time."""
    host, permissions = Host(tls=TLS.directory(folder / "runtime")), Permissions(replicated=["plugin"])
    async with Runtime(listen=["tls://127.0.0.1:0"], host=host, permissions=permissions) as runtime:
        tls, tasks, plugins = TLS.directory(folder / "plugin"), [], []
        for _ in range(PLUGINS):
            plugin = Plugin(Service(), name="plugin", traits=Traits(replica=True))
            links = NetworkLinks.parse("", runtime.addresses[0], tls)
            plugins.append(plugin)
            tasks.append(asyncio.create_task(links.serve(plugin._connection)))
        await _all_linked(runtime, set())
        before = [plugin._record.link for plugin in runtime.plugins()]
        began = time.perf_counter()
        for link in before:
            assert link is not None
            link.abort()
        await _all_linked(runtime, set(map(id, before)))
        print(f"{PLUGINS} plugins have linked again after {time.perf_counter() - began:.2f} s")
        for plugin in plugins:
            plugin.stop()
        await asyncio.gather(*tasks)


async def _all_linked(runtime: Runtime, but: set[int]) -> None:
    def ready() -> int:
        records = [plugin._record for plugin in runtime.plugins() if plugin.state is State.RUNNING]
        return sum(record.link is not None and id(record.link) not in but for record in records)

    while ready() < PLUGINS:
        await asyncio.sleep(0.01)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=1.0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder, authority = Path(made), Authority.create("bench")
        for name in ("runtime", "plugin"):
            save(authority.issue(name, hosts=["127.0.0.1"]), authority.pem, folder / name)
        asyncio.run(compare(folder, given.rounds, given.seconds))
        told = io.StringIO()  # Each plugin tells that its link is lost, and why it is not linked again at once.
        with redirect_stderr(told):
            asyncio.run(storm(folder))


if __name__ == "__main__":
    main()
