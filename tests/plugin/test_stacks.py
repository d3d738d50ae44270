"""What a plugin tells of its threads and tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

from plugmux_proto.plugmux.v1.diagnostics_connect import DiagnosticsClient
from plugmux_proto.plugmux.v1.diagnostics_pb2 import DumpRequest

from plugmux.connect import App
from plugmux.plugin import stacks
from support.app_transport import AppTransport


async def outermost(reached: asyncio.Event) -> None:
    async for _ in in_the_middle(reached):
        pass


async def in_the_middle(reached: asyncio.Event) -> AsyncIterator[int]:
    await innermost(reached)
    yield 1


async def innermost(reached: asyncio.Event) -> None:
    reached.set()
    await asyncio.Event().wait()


async def test_a_task_is_told_down_to_where_it_waits() -> None:
    reached = asyncio.Event()
    task = asyncio.create_task(outermost(reached), name="the task")
    await reached.wait()
    text = stacks.stacks()
    told = text[text.index("task the task:") :]
    assert told.index("in outermost") < told.index("in in_the_middle") < told.index("in innermost")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_threads_are_told_by_name() -> None:
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        over.wait()

    thread = threading.Thread(target=work, name="the thread")
    thread.start()
    begun.wait()
    dump = await DiagnosticsClient(AppTransport(App([stacks.Diagnostics()]))).dump(DumpRequest())
    over.set()
    thread.join()
    told = dump.text[dump.text.index("thread the thread:") :]
    assert "in work" in told
    assert "thread MainThread:" in dump.text
