#!/usr/bin/env python3
"""Shows where the time of a unary call goes: host and plugin in one process, under the profiler.

Both ends share one event loop here, so what is shown for a call is the work of both together. cProfile makes every
Python call slower by a like amount: read the shares, not the times.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
from collections import Counter
from pathlib import Path

from bench.v1.bench_connect import BenchClient
from bench.v1.bench_pb2 import EchoRequest

from plugin import Service
from plugmux import Runtime

CALLS = 5000
PACKAGE = Path(__file__).parents[1] / "py" / "plugmux"


def layer(filename: str) -> str:
    """The layer that a file belongs to: a folder of the package, or what is beneath it."""
    path = Path(filename)
    if path.is_relative_to(PACKAGE):
        return f"plugmux/{path.relative_to(PACKAGE).parts[0]}"
    for name in ("asyncio", "h11", "google"):
        if name in path.parts:
            return name
    return "built in" if filename == "~" else "other"


async def calls(profiler: cProfile.Profile) -> None:
    async with Runtime([Service()]) as runtime:
        client = runtime.client(BenchClient)
        request = EchoRequest(payload=bytes(100))
        for _ in range(CALLS // 10):
            await client.echo(request)
        profiler.enable()
        for _ in range(CALLS):
            await client.echo(request)
        profiler.disable()


def main() -> None:
    profiler = cProfile.Profile()
    asyncio.run(calls(profiler))
    stats = pstats.Stats(profiler, stream=sys.stdout)
    shares: Counter[str] = Counter()
    for (filename, _, _), (_, _, own, _, _) in stats.stats.items():  # type: ignore[attr-defined] # typeshed has it not
        shares[layer(filename)] += own
    total = sum(shares.values())
    print(f"{CALLS} calls, {total / CALLS * 1e6:.0f} us each under the profiler; the share of each layer:")
    for name, own in shares.most_common():
        print(f"  {own / total:6.1%}  {name}")
    print("\nthe functions with the most time of their own:")
    stats.sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
