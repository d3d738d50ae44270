"""Twenty plugins in three languages under kills, stops and floods for some minutes: `make soak MINUTES=10`.

Each plugin is asked for its process id all the time, and the answer is checked; a call may fail with `unavailable` or
`deadline_exceeded` alone. At the end the memory of the host is within a fifth of what it was after the first minute (in
less than two minutes: after half of the time), and nothing is left. A summary is printed; the exit status is 1 where
something was wrong.

Garbage is collected twice a minute. The objects of a link that has ended, 11 KiB, refer to each other, and Python
frees such cycles only when they are a quarter of all objects. Without that a host ends ten minutes with 1.2 times the
memory of the first, which says nothing of leaks.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, RestartPolicy, Runtime
from plugmux.connect import Code, RpcError
from plugmux.runtime import State
from plugmux.runtime.plugin import PluginHandle
from support.resources import ProcessResources, resident_bytes
from support.tools import faulty_plugin

PLUGINS = 20
LANGUAGES = ("python", "go", "ts")
AT_ONCE = RestartPolicy(delay=0.05, longest_delay=0.5, tries=sys.maxsize, time_limit=float("inf"))
ALLOWED = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
PACE = 0.02
FAULT_EVERY = 1.0
STOPPED_FOR = 0.5
FLOOD = "4"
"""MiB that a plugin prints at once."""
GROWTH = 1.2
CALL_TIME = 10.0
COLLECT_EVERY = 30.0


class Soak:
    """One soak.

    Args:
        runtime: the host.
        seconds: how long it takes.
        chance: chooses plugins and faults.
    """

    def __init__(self, runtime: Runtime, seconds: float, chance: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._runtime = runtime
        self._ends = time.monotonic() + seconds
        self._chance = chance

    @property
    def goes_on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self._ends

    async def ask(self, plugin: PluginHandle) -> None:
        """Ask a plugin for its process id until the time is over."""
        client = self._runtime.client(KeyValueClient, plugin=plugin.name)
        while self.goes_on:
            before = plugin.pid
            try:
                answer = (await client.get(GetRequest(key="pid"), timeout=CALL_TIME)).value.decode()
            except RpcError as error:
                self.counts["calls that broke"] += 1
                if error.code not in ALLOWED:
                    self.wrong.append(f"{plugin.name}: {error}")
            else:
                self.counts["answers"] += 1
                if answer not in (str(before), str(plugin.pid)):
                    self.wrong.append(f"{plugin.name} answered {answer}, and was {before}, then {plugin.pid}")
            await asyncio.sleep(PACE)

    async def disturb(self) -> None:
        """Kill, stop and flood plugins at random until the time is over."""
        faults = (self._kill, self._stop, self.flood, self._restart)
        collected = time.monotonic()
        while self.goes_on:
            if time.monotonic() - collected > COLLECT_EVERY:
                gc.collect()
                collected = time.monotonic()
            running = [plugin for plugin in self._runtime.plugins() if plugin.state is State.RUNNING and plugin.pid]
            if running:
                await self._chance.choice(faults)(self._chance.choice(running))
            await asyncio.sleep(FAULT_EVERY)

    async def _kill(self, plugin: PluginHandle) -> None:
        self.counts["kills"] += 1
        _signal(plugin, signal.SIGKILL)

    async def _stop(self, plugin: PluginHandle) -> None:
        self.counts["stops"] += 1
        _signal(plugin, signal.SIGSTOP)
        await asyncio.sleep(STOPPED_FOR)
        _signal(plugin, signal.SIGCONT)

    async def _restart(self, plugin: PluginHandle) -> None:
        self.counts["restarts"] += 1
        await self._runtime.restart(plugin.name)

    async def flood(self, plugin: PluginHandle) -> None:
        """Let a plugin print as much as it can at once."""
        self.counts["floods"] += 1
        client = self._runtime.client(KeyValueClient, plugin=plugin.name)
        with suppress(RpcError):
            answer = (await client.get(GetRequest(key=f"flood {FLOOD}"), timeout=CALL_TIME)).value.decode()
            if answer != FLOOD:
                self.wrong.append(f"{plugin.name} answered {answer} to a flood")


def _signal(plugin: PluginHandle, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        if plugin.pid is not None:
            os.kill(plugin.pid, number)


async def soak(minutes: float) -> int:
    """Soak a host for some minutes, and print what came of it; returns the exit status."""
    seconds, seed = minutes * 60, random.randrange(1 << 32)
    before = ProcessResources.take()
    plugins = [
        Launch(faulty_plugin(LANGUAGES[number % 3]), name=f"{LANGUAGES[number % 3]}-{number}", restart=AT_ONCE)
        for number in range(PLUGINS)
    ]
    async with Runtime(plugins) as runtime:
        test = Soak(runtime, seconds, random.Random(seed))
        for plugin in runtime.plugins():  # From then on what is kept of its output is full.
            await test.flood(plugin)
        work = [asyncio.create_task(test.ask(plugin)) for plugin in runtime.plugins()]
        work.append(asyncio.create_task(test.disturb()))
        await asyncio.sleep(min(60.0, seconds / 2))
        at_first = _memory()
        await asyncio.gather(*work)
        at_last = _memory()
    for _ in range(100):
        if (left := ProcessResources.take()) == before:
            break
        await asyncio.sleep(0.05)
    if at_last > at_first * GROWTH:
        test.wrong.append(f"the host's memory grew by {at_last / at_first - 1:.0%}")
    if left != before:
        test.wrong.append(f"leaked: {before} became {left}")
    print(f"{PLUGINS} plugins, {minutes:g} minutes, seed {seed}")
    print(", ".join(f"{count} {what}" for what, count in sorted(test.counts.items())))
    print(f"memory of the host: {at_first >> 20} MiB at first, {at_last >> 20} MiB at last")
    for what in test.wrong[:20]:
        print(f"WRONG: {what}")
    print(f"{len(test.wrong)} wrong" if test.wrong else "nothing wrong, nothing left")
    return 1 if test.wrong else 0


def _memory() -> int:
    gc.collect()
    return resident_bytes()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(asyncio.run(soak(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)))
