"""Works that show how a host grows: with many plugins, instances and secrets providers beside few, and the slope."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator

from bench.v1.bench_connect import BenchClient
from bench.v1.bench_pb2 import EchoRequest
from host_works import resident

from measure import Bench, Call, alternate, percentiles
from plugin import Service
from plugmux import Runtime
from plugmux.plugin import Instances
from plugmux.secrets import Pattern, Provider, Resolver, Secret

__all__ = ["instances_100k", "plugins_1000", "resolver_200", "slope"]

PLUGINS = 1_000
PROVIDERS = 200
INSTANCES = 100_000
IN_FLIGHT = 16
WHOLE = 0.4
"""Seconds of a measurement from which on all instances are opened; a shorter one opens a part of them."""


def slope(many: float, few: float, added: int) -> float:
    """The nanoseconds that each of what was added makes a call longer, by its times in microseconds."""
    return (many - few) / added * 1e3


async def plugins_1000(bench: Bench) -> None:
    """A call to one plugin of 1,000 in the host's process, beside one that is alone; what the idle links cost."""
    if not bench.wants("plugins-1000"):
        return

    def echo_of(runtime: Runtime, name: str) -> Call:
        client = runtime.client(BenchClient, plugin=name)

        async def echo(payload: bytes) -> None:
            await client.echo(EchoRequest(payload=payload))

        return echo

    async with Runtime() as alone:
        await alone.launch(Service(), name="bench")
        before = resident(os.getpid())
        async with Runtime() as crowd:
            for number in range(PLUGINS):
                await crowd.launch(Service(), name=f"bench{number}")
            links = resident(os.getpid()) - before
            begin = time.process_time()
            await asyncio.sleep(bench.seconds)
            idle = (time.process_time() - begin) / bench.seconds
            calls = (echo_of(alone, "bench"), echo_of(crowd, f"bench{PLUGINS // 2}"))
            few, many = (percentiles(took) for took in await alternate(2 * bench.seconds, *calls))
    base = few["p50_us"]
    grows = slope(many["p50_us"], base, PLUGINS - 1)
    bench.row("plugins-1000", **many, base_p50_us=base, slope_ns=grows, mib=links, idle_cpu_ms=idle * 1e3, n=PLUGINS)


async def instances_100k(bench: Bench) -> None:
    """Opening and closing 100,000 instances, 16 at a time: the last tenth beside the first, and how memory grows."""
    if not bench.wants("instances-100k"):
        return
    count = max(int(INSTANCES * min(bench.seconds / WHOLE, 1.0)), 10 * IN_FLIGHT)
    took: list[float] = []

    def opened(settings: dict[str, int]) -> Service:
        return Service()

    async with Runtime() as runtime:
        await runtime.launch(Instances(opened, dict[str, int], serves=[Service]), name="bench")

        async def caller(calls: int) -> None:
            for number in range(calls):
                begin = time.perf_counter()
                async with await runtime.open_instance("bench", {"number": number}):
                    pass
                took.append(time.perf_counter() - begin)

        before = 0.0
        begin = time.perf_counter()
        for tenth in range(10):
            async with asyncio.TaskGroup() as group:
                for _ in range(IN_FLIGHT):
                    group.create_task(caller(count // 10 // IN_FLIGHT))
            before = resident(os.getpid()) if tenth == 0 else before
        rate = len(took) / (time.perf_counter() - begin)
        grown = resident(os.getpid()) - before
    first, last = percentiles(took[: len(took) // 10]), percentiles(took[-len(took) // 10 :])
    grows = slope(last["p50_us"], first["p50_us"], len(took))
    bench.row("instances-100k", **last, base_p50_us=first["p50_us"], slope_ns=grows, per_s=rate, mib=grown, n=len(took))


class Numbered(Provider):
    """One provider of many, each with a pattern of its own."""

    def __init__(self, number: int) -> None:
        self.pattern = f"p{number}/**"
        self._id = f"p{number}/a"

    async def get_secrets(self, pattern: Pattern) -> AsyncIterator[Secret]:
        yield Secret(id=self._id, value=bytes(100))


async def resolver_200(bench: Bench) -> None:
    """A secret of one provider of 200, beside one that is alone; `all_us` asks them all."""
    if not bench.wants("resolver-200"):
        return

    def getting(runtime: Runtime, name: str) -> Call:
        resolver = Resolver(runtime)

        async def get(payload: bytes) -> None:
            assert len((await resolver.get(name)).value) == len(payload)

        return get

    async with Runtime() as alone, Runtime() as crowd:
        await alone.launch(Numbered(0), name="bench0")
        for number in range(PROVIDERS):
            await crowd.launch(Numbered(number), name=f"bench{number}")

        async def get_all(payload: bytes) -> None:
            assert len(await Resolver(crowd).get_all("**")) == PROVIDERS

        calls = (getting(alone, "p0/a"), getting(crowd, f"p{PROVIDERS // 2}/a"))
        few, many = (percentiles(took) for took in await alternate(2 * bench.seconds, *calls))
        (every,) = await alternate(bench.seconds, get_all, batch=2)
    base = few["p50_us"]
    grows = slope(many["p50_us"], base, PROVIDERS - 1)
    all_us = percentiles(every)["p50_us"]
    bench.row("resolver-200", **many, base_p50_us=base, slope_ns=grows, all_us=all_us, n=PROVIDERS)
