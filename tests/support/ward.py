"""A host with one faulty plugin and a healthy one, which nothing that the faulty one does may touch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, Policies, RestartPolicy, Runtime, Timeouts
from plugmux.runtime import Event, EventKind, PluginHandle, State

from .resources import ProcessResources
from .tools import ON_WINDOWS, faulty_plugin

__all__ = ["AT_ONCE", "LANGUAGES", "Ward", "ward"]

LANGUAGES = ("python", "go", "ts")
AT_ONCE = RestartPolicy(delay=0.01, longest_delay=0.01, tries=1000)
GO_ON = 5
PACE = 0.005
"""Seconds between two calls to the healthy plugin, so that they show what they must and leave the rest its time."""


class Ward:
    """What a test does with the two plugins.

    Attributes:
        runtime: the host.
        plugin: the faulty one.
        events: what has become of it since it ran.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.plugin: PluginHandle = runtime.plugin("faulty")
        self.events: list[Event] = []
        self._faulty = runtime.client(KeyValueClient, plugin="faulty")
        self._healthy = runtime.client(KeyValueClient, plugin="healthy")
        self._answered = asyncio.Condition()
        self._answers = 0

    async def ask(self, key: str, timeout: float | None = None) -> str:
        """Have the faulty plugin do something, and return what it says."""
        return (await self._faulty.get(GetRequest(key=key), timeout=timeout)).value.decode()

    async def asking(self, key: str) -> asyncio.Task[str]:
        """The same in a task, once the call is in flight, or has failed."""
        call = asyncio.create_task(self.ask(key))
        while not (self.plugin.in_flight or call.done()):
            await asyncio.sleep(0)
        return call

    async def until(self, state: State) -> None:
        """Wait until the faulty plugin stands there."""
        while self.plugin.state is not state:
            await self.plugin.changed()

    @property
    def states(self) -> list[State]:
        """The states that the faulty plugin has come into."""
        return [event.state for event in self.events if event.kind is EventKind.CHANGE]

    async def others_go_on(self) -> None:
        """Wait for more answers of the healthy plugin."""
        enough = self._answers + GO_ON
        async with self._answered:
            await self._answered.wait_for(lambda: self._answers >= enough)

    async def keep_asking_the_healthy_one(self) -> None:
        """Call it again and again: not one call may fail, nor may it ever be started again."""
        pid = str(self.runtime.plugin("healthy").pid).encode()
        while True:
            assert (await self._healthy.get(GetRequest(key="pid"), timeout=10)).value == pid
            async with self._answered:
                self._answers += 1
                self._answered.notify_all()
            await asyncio.sleep(PACE)

    async def listen(self) -> None:
        """Note what becomes of the faulty plugin."""
        async for event in self.runtime.events():
            if event.plugin == "faulty":
                self.events.append(event)


@asynccontextmanager
async def ward(launch: Launch) -> AsyncIterator[Ward]:
    """Run a faulty plugin beside a healthy one; at the end the healthy one still answers, and nothing is left.

    Args:
        launch: the faulty one; it is named so.
    """
    before = ProcessResources.take()
    healthy = Launch(faulty_plugin("python" if ON_WINDOWS else "go"), name="healthy", timeout=60)
    policies = Policies(timeouts=Timeouts(kill=60))  # What a busy machine has not ended by then is left behind.
    async with Runtime([replace(launch, name="faulty"), healthy], policies=policies) as runtime:
        test = Ward(runtime)
        tasks = [asyncio.create_task(work) for work in (test.listen(), test.keep_asking_the_healthy_one())]
        try:
            await test.others_go_on()
            yield test
            going_on = asyncio.create_task(test.others_go_on())
            await asyncio.wait([going_on, *tasks], return_when=asyncio.FIRST_COMPLETED)
            going_on.cancel()
            assert not [task.exception() for task in tasks if task.done()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    assert ProcessResources.take() == before
