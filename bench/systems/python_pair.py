"""plugmux: a Python host and its plugins; with `-uvloop`, both on uvloop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.v1.bench_connect import BenchClient
from bench.v1.bench_pb2 import Chunk, DownloadRequest, EchoRequest
from host_works import cpu_16, pour, resident, start_50
from json_load import socket_json_64
from mux_bulk import WINDOWS, moving
from scale_works import instances_100k, plugins_1000, resolver_200, slope

from measure import KIB64, Bench, Call, achunks, alternate, arguments, percentiles
from plugmux import COMPILED, Launch, Runtime

HERE = Path(__file__).parents[1]
PLUGIN = (sys.executable, str(HERE / "plugin.py"))
GO_PLUGIN = (str(HERE.parent / "bin" / "bench-plugin"),)
TS_PLUGIN = (str(HERE / "node" / "plugin.js"),)
BULK = 1024  # messages of 64 KiB: 64 MiB
ENDLESS = 1 << 30
MANY_PLUGINS = 100
IDLE_STREAMS = 10_000
LAUNCHES = 10
BARE = "import asyncio, google.protobuf.message, h11"


@asynccontextmanager
async def runtime_of(command: Sequence[str], count: int = 1) -> AsyncIterator[Runtime]:
    """A runtime with one plugin, or with many; "bench" is the one that is called."""
    names = ["bench", *(f"other{n}" for n in range(1, count))]
    launches = [Launch(command, name=name, timeout=60) for name in names]
    async with Runtime(launches) as runtime:
        for plugin in runtime.plugins():
            if plugin.error is not None:
                raise plugin.error
        yield runtime


def echo_of(runtime: Runtime) -> Call:
    """A unary call of the plugin."""
    client = runtime.client(BenchClient, plugin="bench")

    async def echo(payload: bytes) -> None:
        response = await client.echo(EchoRequest(payload=payload))
        assert len(response.payload) == len(payload)

    return echo


async def rpc(bench: Bench, plugin: Sequence[str]) -> None:
    async with runtime_of(plugin) as runtime:
        client = runtime.client(BenchClient, plugin="bench")

        async def download(count: int, size: int) -> None:
            arrived = 0
            async for chunk in client.download(DownloadRequest(count=count, size=size)):
                arrived += len(chunk.payload)
            assert arrived == count * size

        async def upload(count: int, size: int) -> None:
            response = await client.upload(achunks(count, size, Chunk))
            assert response.bytes == count * size

        await bench.rpc(echo_of(runtime), download, upload)
        if plugin == TS_PLUGIN:
            await bench.calls("ts-unary-16", 16, 100, echo_of(runtime))
        await cpu_16(bench, runtime, echo_of(runtime))


async def bulk(bench: Bench, plugin: Sequence[str]) -> None:
    for work in WINDOWS:
        if bench.wants(work):
            async with moving(work, *plugin[len(PLUGIN) :]) as move:
                await bench.stream(work, BULK, KIB64, move)


async def small_under_bulk(bench: Bench, plugin: Sequence[str]) -> None:
    """The tail of small calls while a bulk stream saturates their link, beside the same tail on an idle link."""
    if not bench.wants("small-under-bulk"):
        return
    async with runtime_of(plugin) as runtime:
        echo = echo_of(runtime)
        await alternate(bench.seconds / 4, echo)
        (idle,) = await alternate(bench.seconds, echo)
        task = asyncio.create_task(pour(runtime.plugin("bench"), ENDLESS, KIB64))
        await alternate(bench.seconds / 4, echo)
        (busy,) = await alternate(bench.seconds, echo)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        base = percentiles(idle)
        bench.row("small-under-bulk", **percentiles(busy), base_p50_us=base["p50_us"], base_p99_us=base["p99_us"])


async def host_to_go(bench: Bench) -> None:
    if bench.wants("host-to-go-plugin"):
        async with runtime_of(GO_PLUGIN) as runtime:
            await bench.calls("host-to-go-plugin", 1, 100, echo_of(runtime))


async def many_plugins(bench: Bench) -> None:
    """A call to one plugin of many, beside the same call to one that is alone."""
    if not bench.wants("plugins-100"):
        return
    async with runtime_of(GO_PLUGIN) as alone, runtime_of(GO_PLUGIN, MANY_PLUGINS) as crowd:
        few, many = await alternate(2 * bench.seconds, echo_of(alone), echo_of(crowd))
        figures, base = percentiles(many), percentiles(few)["p50_us"]
        grows = slope(figures["p50_us"], base, MANY_PLUGINS - 1)
        bench.row("plugins-100", **figures, base_p50_us=base, slope_ns=grows)


async def idle_streams(bench: Bench, plugin: Sequence[str]) -> None:
    """A call beside many idle streams on the same link, beside the same call on an empty one."""
    if not bench.wants("idle-streams"):
        return
    async with runtime_of(plugin) as empty, runtime_of(plugin) as full:
        link = full.plugin("bench").link
        assert link is not None
        streams = [await link.open_stream("sink") for _ in range(IDLE_STREAMS)]
        without, beside = await alternate(2 * bench.seconds, echo_of(empty), echo_of(full))
        figures, base = percentiles(beside), percentiles(without)["p50_us"]
        grows = slope(figures["p50_us"], base, IDLE_STREAMS)
        bench.row("idle-streams", **figures, base_p50_us=base, slope_ns=grows, n=len(streams))
        for _, writer in streams:
            writer.close()


async def launch(bench: Bench, plugin: Sequence[str]) -> None:
    """From launch to registration, of a plugin in Python and of one in Go, in turn with a bare interpreter."""
    if not bench.wants("launch"):
        return
    bare: list[float] = []
    in_python: list[float] = []
    in_go: list[float] = []
    async with Runtime() as runtime:
        for number in range(LAUNCHES):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", BARE], check=True)
            bare.append(time.perf_counter() - begin)
            for took, command in ((in_python, plugin), (in_go, GO_PLUGIN)):
                begin = time.perf_counter()
                handle = await runtime.launch(Launch(command, name=f"bench{number}-{command[0] == GO_PLUGIN[0]}"))
                took.append(time.perf_counter() - begin)
                await handle.stop()
    medians = [percentiles(took)["p50_us"] for took in (in_python, bare, in_go)]
    bench.row("launch", p50_us=medians[0], base_p50_us=medians[1], go_p50_us=medians[2], n=LAUNCHES)


def imports(bench: Bench) -> None:
    """The time that an import takes in a new interpreter."""
    if bench.wants("import"):
        bench.row("import", p50_us=import_time("plugmux"), base_p50_us=import_time("asyncio"))


def import_time(module: str) -> float:
    """The median of a number of imports, in microseconds."""
    program = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    took = [
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
        for _ in range(LAUNCHES)
    ]
    return percentiles(took)["p50_us"]


async def memory(bench: Bench, plugin: Sequence[str]) -> None:
    """What a plugin that has been called takes, beside an interpreter that has protobuf and one generated module."""
    if not bench.wants("memory"):
        return
    async with runtime_of(plugin) as runtime:
        await echo_of(runtime)(bytes(100))
        pid = runtime.plugin("bench").pid
        assert pid is not None
        with subprocess.Popen(
            [sys.executable, "-c", "import google.protobuf.any_pb2, sys; print(flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as bare:
            assert bare.stdout is not None
            bare.stdout.readline()
            bench.row("memory", mib=resident(pid), base_mib=resident(bare.pid))
            bare.communicate()


async def measure(bench: Bench, plugin: Sequence[str]) -> None:
    await rpc(bench, plugin)
    if plugin in (GO_PLUGIN, TS_PLUGIN):
        return
    await bulk(bench, plugin)
    await small_under_bulk(bench, plugin)
    if bench.system in ("plugmux", "plugmux-compiled"):
        await plugins_1000(bench)
        await start_50(bench, plugin)
        await socket_json_64(bench)
    if bench.system == "plugmux":
        await host_to_go(bench)
        await launch(bench, plugin)
        await memory(bench, plugin)
        await many_plugins(bench)
        await idle_streams(bench, plugin)
        await instances_100k(bench)
        await resolver_200(bench)
        imports(bench)


def main() -> None:
    bench, given = arguments(
        "plugmux",
        uvloop="run host and plugin on uvloop",
        compiled="insist on a compiled build of plugmux",
        go="call a Go plugin",
        ts="call a TypeScript plugin",
    )
    if given.ts:
        asyncio.run(measure(Bench("plugmux-ts", bench.works, bench.seconds), TS_PLUGIN))
    elif given.go:
        asyncio.run(measure(Bench("plugmux-go", bench.works, bench.seconds), GO_PLUGIN))
    elif given.compiled:
        if not COMPILED:
            raise SystemExit("this plugmux is pure: `make compiled` makes the environment of a compiled one")
        asyncio.run(measure(Bench("plugmux-compiled", bench.works, bench.seconds), PLUGIN))
    elif given.uvloop:
        import uvloop

        bench = Bench("plugmux-uvloop", bench.works, bench.seconds)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(bench, [*PLUGIN, "uvloop"]))
    else:
        asyncio.run(measure(bench, PLUGIN))


if __name__ == "__main__":
    main()
