"""Works of a host that no peer has: processor time, many starts."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from measure import Bench, Call
from plugmux import Launch, Runtime
from plugmux.runners import ZygoteRunner
from plugmux.runtime import PluginHandle

__all__ = ["cpu_16", "pour", "resident", "start_50"]

IN_FLIGHT = 16
STARTED = 50
CPU_CALLS = 8_000
TICK = 1 / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """A process' resident memory, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no resident memory")


def processor_time(pid: int) -> float:
    """The seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


async def pour(plugin: PluginHandle, count: int, size: int) -> None:
    """Move a bulk through a raw stream to a plugin, and hear how much has arrived."""
    link = plugin.link
    assert link is not None
    reader, writer = await link.open_stream("sink")
    chunk = bytes(size)
    for _ in range(count):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()
    assert int.from_bytes(await reader.readexactly(8), "big") == count * size
    writer.close()


async def cpu_16(bench: Bench, runtime: Runtime, echo: Call) -> None:
    """The processor time of a call at both ends together, 16 in flight."""
    if not bench.wants("cpu-16"):
        return
    pid = runtime.plugin("bench").pid
    assert pid is not None

    async def calls(count: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(caller(count // IN_FLIGHT))

    async def caller(count: int) -> None:
        for _ in range(count):
            await echo(bytes(100))

    await calls(CPU_CALLS // 4)
    begin = time.process_time() + processor_time(pid)
    await calls(CPU_CALLS)
    used = time.process_time() + processor_time(pid) - begin
    bench.row("cpu-16", cpu_us=used / CPU_CALLS * 1e6, n=CPU_CALLS)


async def start_50(bench: Bench, plugin: Sequence[str]) -> None:
    """The start of 50 Python plugins by a zygote, beside that of as many processes."""
    if not bench.wants("start-50"):
        return

    async def started(runner: ZygoteRunner | None) -> float:
        launches = [Launch(plugin, name=f"bench{n}", timeout=120, runner=runner) for n in range(STARTED)]
        begin = time.perf_counter()
        async with Runtime(launches) as runtime:
            took = time.perf_counter() - begin
            for plugin in runtime.plugins():
                if plugin.error is not None:
                    raise plugin.error
        return took

    begin = time.perf_counter()
    async with ZygoteRunner(timeout=120) as zygote:
        forked = time.perf_counter() - begin + await started(zygote)
    bench.row("start-50", p50_us=forked * 1e6, base_p50_us=await started(None) * 1e6, n=STARTED)
