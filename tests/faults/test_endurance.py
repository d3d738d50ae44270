"""Faults that end nothing by themselves: a plugin that hangs, one that floods, and one that crashes all the time."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plugmux import Launch
from plugmux.connect import Code, RpcError
from plugmux.runtime import State
from support.resources import hold, resident_bytes
from support.scale import scaled
from support.tools import faulty_plugin
from support.ward import AT_ONCE, LANGUAGES, ward

MEBIBYTE = 1 << 20
CRASHES = scaled({"go": 100, "python": 20, "ts": 10}, {"go": 30, "python": 5, "ts": 3})
"""What is left behind would be the host's: most are of the language that starts fastest."""
FLOODS = scaled({"go": 1024, "python": 128, "ts": 128}, {"go": 256, "python": 64, "ts": 64})
"""MiB, each more than the host may keep: it reads all alike, and the most of one."""


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_hung_plugin_costs_its_callers_their_deadline_and_goes_on_where_it_stopped(language: str) -> None:
    async with ward(Launch(faulty_plugin(language), timeout=60)) as test:
        assert test.plugin.pid is not None
        await hold(test.plugin.pid)
        with pytest.raises(RpcError) as caught:
            await test.ask("pid", timeout=0.2)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        await test.others_go_on()
        os.kill(test.plugin.pid, signal.SIGCONT)
        assert await test.ask("pid") == str(test.plugin.pid)
        assert test.events == []


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_hung_plugin_ends_with_the_runtime(language: str) -> None:
    async with ward(Launch(faulty_plugin(language), timeout=60)) as test:
        assert test.plugin.pid is not None
        await hold(test.plugin.pid)
    assert test.plugin.state is State.STOPPED


class Counter(logging.Filter):
    """Counts what is logged, and keeps it from those who would collect it."""

    lines = 0

    def filter(self, record: logging.LogRecord) -> bool:
        self.lines += 1
        return False


@pytest.fixture
def counter() -> Iterator[Counter]:
    """What a faulty plugin prints, as it is logged."""
    counter, logger = Counter(), logging.getLogger("plugmux.plugin.faulty")
    logger.addFilter(counter)
    logger.setLevel(logging.INFO)
    yield counter
    logger.setLevel(logging.NOTSET)
    logger.removeFilter(counter)


@pytest.mark.parametrize(("language", "mebibytes"), FLOODS.items())
async def test_a_flood_on_stderr_blocks_nobody_and_is_not_kept(language: str, mebibytes: int, counter: Counter) -> None:
    async with ward(Launch(faulty_plugin(language), timeout=60)) as test:
        await test.ask("flood 1")
        before = most = resident_bytes()
        flood = asyncio.create_task(test.ask(f"flood {mebibytes}"))
        while not flood.done():
            await test.others_go_on()
            await test.ask("pid")
            most = max(most, resident_bytes())
        assert await flood == str(mebibytes)
        assert most - before < 32 * MEBIBYTE
        assert counter.lines > mebibytes
        assert test.events == []


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """Counts the bytes that have been allocated since `tracemalloc.start` and are in use.

    What is resident is another matter: allocators keep megabytes that earlier tests have used, and give them back.
    """

    def in_use() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    yield in_use
    tracemalloc.stop()


@pytest.mark.parametrize(("language", "crashes"), CRASHES.items())
async def test_crashes_in_a_row_leave_nothing_behind(
    language: str, crashes: int, tmp_path: Path, traced: Callable[[], int]
) -> None:
    left = tmp_path / "left"
    left.write_text("0")
    launch = Launch(faulty_plugin(language, "crash-loop", str(left)), restart=AT_ONCE)
    async with ward(launch) as test:
        left.write_text(str(crashes - 1))
        with pytest.raises(RpcError, match="exited with status 7"):
            await test.ask("exit")
        while test.plugin.restarts < crashes / 10:
            await test.plugin.changed()
        tracemalloc.start()
        assert await test.ask("pid") == str(test.plugin.pid)
        assert (test.plugin.state, test.plugin.restarts, test.plugin.error) == (State.RUNNING, crashes, None)
        assert traced() < MEBIBYTE
        assert test.states.count(State.CRASHED) == crashes
