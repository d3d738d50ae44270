"""What is made while its maker is cancelled or stopped has an owner."""

from __future__ import annotations

import asyncio

import pytest

from plugmux.aio.closing import until_stopped


@pytest.mark.parametrize("turns", range(6))
async def test_what_was_made_when_the_caller_is_cancelled_is_returned(turns: int) -> None:
    begin, made, kept = asyncio.Event(), [], []

    async def make() -> str:
        await begin.wait()
        made.append("it")
        return "it"

    async def call() -> None:
        kept.append(await until_stopped(make, asyncio.Event(), 1))
        await asyncio.Event().wait()

    caller = asyncio.create_task(call())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    begin.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert kept == made


async def test_work_that_does_not_end_is_cancelled_where_it_is_to_stop() -> None:
    stop, cancelled = asyncio.Event(), asyncio.Event()

    async def hang() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return "never"

    waiting = asyncio.create_task(until_stopped(hang, stop, 0))
    await asyncio.sleep(0)
    stop.set()
    assert await waiting is None
    assert cancelled.is_set()
