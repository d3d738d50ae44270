"""pyvider-rpcplugin: the launch of a plugin until its host has connected, with the handshake that it has by default."""

from __future__ import annotations

import os
import sys
import time

from measure import Bench, percentiles, run

LAUNCHES = 5
COOKIE = {"PLUGIN_MAGIC_COOKIE_KEY": "BENCH_PLUGIN", "PLUGIN_MAGIC_COOKIE_VALUE": "bench", "BENCH_PLUGIN": "bench"}
QUIET = {"PROVIDE_LOG_LEVEL": "CRITICAL", "PLUGIN_LOG_LEVEL": "CRITICAL"}


async def serve() -> None:
    from pyvider.rpcplugin import plugin_protocol, plugin_server

    await plugin_server(protocol=plugin_protocol(), handler=object()).serve()


async def measure(bench: Bench) -> None:
    if not bench.wants("launch"):
        return
    from pyvider.rpcplugin import plugin_client

    took = []
    for _ in range(LAUNCHES):
        begin = time.perf_counter()
        client = plugin_client(command=[sys.executable, __file__, "serve"])
        await client.start()
        took.append(time.perf_counter() - begin)
        await client.close()
    bench.row("launch", p50_us=percentiles(took)["p50_us"], n=LAUNCHES)


if __name__ == "__main__":
    os.environ.update(COOKIE | QUIET)
    if sys.argv[1:] == ["serve"]:
        import asyncio

        asyncio.run(serve())
    else:
        run("pyvider", measure)
