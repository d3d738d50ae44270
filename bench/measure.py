"""Measuring one system: calls and streams are repeated for a time, and each work gives one row.

Every program in `systems/` prints its rows with it, as the Go programs in `peers/` do: one JSON object per line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

__all__ = [
    "KIB64",
    "MIB",
    "Bench",
    "Call",
    "Move",
    "alternate",
    "percentiles",
    "processor_time",
    "remote_arguments",
    "run",
]

KIB64 = 64 * 1024
MIB = 1024 * 1024
WARM_UP = 0.25
"""The part of a measurement's time that comes before it and is not counted."""

Call: TypeAlias = Callable[[bytes], Awaitable[object]]
"""Moves a payload there and back."""
Move: TypeAlias = Callable[[int, int], Awaitable[object]]
"""Moves a stream: a number of messages, and the bytes of each."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What one run of one system measures.

    Args:
        system: the name in the rows.
        works: the works that are asked for; none means all.
        seconds: how long each measurement takes.
        server: the process whose processor time is counted beside that of this one; 0 where none is counted.
    """

    system: str
    works: frozenset[str]
    seconds: float
    server: int = 0

    def wants(self, work: str) -> bool:
        """Whether a work is to be measured."""
        return not self.works or work in self.works

    def row(self, work: str, **figures: float) -> None:
        """Print one row; figures that do not apply are left out."""
        rounded = {name: round(figure, 2) for name, figure in figures.items()}
        print(json.dumps({"work": work, "system": self.system, **rounded}), flush=True)

    async def calls(self, work: str, in_flight: int, size: int, call: Call) -> None:
        """Measure single calls, a number of them in flight, each of which moves `size` bytes there and back."""
        if not self.wants(work):
            return
        await _loop(in_flight, size, self.seconds * WARM_UP, call)
        begin, used = time.perf_counter(), self._used()
        took = await _loop(in_flight, size, self.seconds, call)
        rate = len(took) / (time.perf_counter() - begin)
        counted = self._counted(used, len(took))
        self.row(work, **percentiles(took), per_s=rate, mib_per_s=rate * size / MIB, **counted, n=len(took))

    async def stream(self, work: str, count: int, size: int, move: Move, **others: Move) -> None:
        """Measure streams of `count` messages of `size` bytes each, one after another; the median of them counts.

        `others` move the same in other ways, and are named after the figures that their rates become.
        """
        if not self.wants(work):
            return
        rate, n, counted = await self._rate(count, size, move)
        beside = {figure: (await self._rate(count, size, other))[0] for figure, other in others.items()}
        self.row(work, per_s=rate, mib_per_s=rate * size / MIB, n=n, **counted, **beside)

    async def _rate(self, count: int, size: int, move: Move) -> tuple[float, int, dict[str, float]]:
        await _repeat(self.seconds * WARM_UP, count, size, move)
        used = self._used()
        took = await _repeat(self.seconds, count, size, move)
        return count / statistics.median(took), count * len(took), self._counted(used, count * len(took))

    def _used(self) -> float:
        """Seconds of the processor that both ends have used until now."""
        return time.process_time() + processor_time(self.server) if self.server else 0.0

    def _counted(self, before: float, messages: int) -> dict[str, float]:
        return {"cpu_us": (self._used() - before) / messages * 1e6} if self.server else {}

    async def rpc(self, echo: Call, download: Move, upload: Move) -> None:
        """Measure an RPC system on all the works that such systems have."""
        await self.calls("unary-serial", 1, 100, echo)
        await self.calls("unary-16", 16, 100, echo)
        await self.calls("unary-64k", 1, KIB64, echo)
        await self.calls("unary-1m", 1, MIB, echo)
        await self.stream("stream-100b", 5_000, 100, download)
        await self.stream("stream-64k", 500, KIB64, download)
        await self.stream("upload-64k", 500, KIB64, upload)


async def _loop(in_flight: int, size: int, seconds: float, call: Call) -> list[float]:
    took: list[float] = []
    payload = bytes(size)
    deadline = time.perf_counter() + seconds

    async def caller() -> None:
        begin = time.perf_counter()
        while begin < deadline:
            await call(payload)
            end = time.perf_counter()
            took.append(end - begin)
            begin = end

    if in_flight == 1:
        await caller()
    else:
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(caller())
    return took


async def _repeat(seconds: float, count: int, size: int, move: Move) -> list[float]:
    took: list[float] = []
    while sum(took) < seconds:
        begin = time.perf_counter()
        await move(count, size)
        took.append(time.perf_counter() - begin)
    return took


async def alternate(seconds: float, *calls: Call, batch: int = 50) -> list[list[float]]:
    """Make several calls in turn, batch after batch, so that whatever slows the machine down slows all of them.

    Returns:
        The seconds that each took, call by call.
    """
    took: list[list[float]] = [[] for _ in calls]
    for call in calls:
        await _batch(call, batch)
    deadline = time.perf_counter() + seconds
    while not took[0] or time.perf_counter() < deadline:
        for call, times in zip(calls, took, strict=True):
            times += await _batch(call, batch)
    return took


async def _batch(call: Call, count: int) -> list[float]:
    took: list[float] = []
    for _ in range(count):
        begin = time.perf_counter()
        await call(bytes(100))
        took.append(time.perf_counter() - begin)
    return took


def percentiles(took: list[float]) -> dict[str, float]:
    """The median and the 99th percentile, in microseconds."""
    ordered = sorted(took)
    return {"p50_us": ordered[len(ordered) // 2] * 1e6, "p99_us": ordered[len(ordered) * 99 // 100] * 1e6}


def arguments(system: str, **flags: str) -> tuple[Bench, argparse.Namespace]:
    """Read a system's command line, which is that of `peers/`."""
    parser = argparse.ArgumentParser(description=f"measure {system}")
    parser.add_argument("-seconds", type=float, default=1.0)
    parser.add_argument("-works", default="")
    for flag, meaning in flags.items():
        parser.add_argument(f"-{flag}", action="store_true", help=meaning)
    given = parser.parse_args()
    return Bench(system, frozenset(filter(None, given.works.split(","))), given.seconds), given


def processor_time(pid: int) -> float:
    """Seconds of the processor that a process has used, in steps of 10 ms; on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def remote_arguments(system: str) -> tuple[Bench, Path, int]:
    """Read the command line of a system that is measured over TLS: the folder of the certificates, and the port."""
    parser = argparse.ArgumentParser(description=f"measure {system} over TLS")
    parser.add_argument("-seconds", type=float, default=1.0)
    parser.add_argument("-works", default="")
    parser.add_argument("-server", type=int, default=0, help="the process whose processor time counts as well")
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    given = parser.parse_args()
    works = frozenset(filter(None, given.works.split(",")))
    return Bench(system, works, given.seconds, given.server), given.folder, given.port


def run(system: str, measure: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    """The whole program of a system that needs nothing but its name."""
    bench, _ = arguments(system)
    asyncio.run(measure(bench))


def chunks(count: int, size: int, chunk: Callable[..., Any]) -> Iterator[Any]:
    """The messages of a stream: the same one, again and again."""
    message = chunk(payload=bytes(size))
    for _ in range(count):
        yield message


async def achunks(count: int, size: int, chunk: Callable[..., Any]) -> AsyncIterator[Any]:
    """`chunks`, for those who want it asynchronous."""
    for message in chunks(count, size, chunk):
        yield message
