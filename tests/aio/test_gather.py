"""`gather` and `race`: several coroutines at once, of which none outlives the call."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from plugmux.aio.gather import gather
from plugmux.aio.race import race


class Calls:
    """Coroutines that say how they ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def forever(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise

    async def give(self, value: str) -> str:
        await asyncio.sleep(0)
        return value

    async def fail(self) -> str:
        await asyncio.sleep(0)
        raise LookupError("no")


async def test_results_come_in_the_order_of_the_calls() -> None:
    calls = Calls()
    assert await gather([calls.give("a"), calls.give("b")]) == ["a", "b"]
    assert await gather([calls.give("a")]) == ["a"]
    assert await gather([]) == []


@pytest.mark.parametrize("together", [lambda *calls: gather(calls), race], ids=["gather", "race"])
async def test_a_failure_is_raised_as_it_is_and_ends_the_others(together: Callable[..., Awaitable[Any]]) -> None:
    calls = Calls()
    with pytest.raises(LookupError, match="no"):
        await together(calls.forever(), calls.fail())
    assert calls.ended == ["cancelled"]


@pytest.mark.parametrize("together", [lambda *calls: gather(calls), race], ids=["gather", "race"])
async def test_cancelling_the_caller_ends_all(together: Callable[..., Awaitable[Any]]) -> None:
    calls = Calls()
    task = asyncio.ensure_future(together(calls.forever(), calls.forever()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls.ended == ["cancelled"] * 2


@pytest.mark.parametrize("winner", ["call", "time"])
async def test_the_first_ends_a_race(winner: str) -> None:
    calls = Calls()
    await race(calls.forever(), calls.give("a") if winner == "call" else 0.0)
    assert calls.ended == ["cancelled"]


if sys.version_info >= (3, 12):

    @pytest.mark.parametrize("together", [lambda *calls: gather(calls), race], ids=["gather", "race"])
    async def test_a_call_may_fail_before_the_others_are_begun(together: Callable[..., Awaitable[Any]]) -> None:
        async def fail_at_once() -> str:
            raise LookupError("no")

        calls = Calls()
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        with pytest.raises(LookupError, match="no"):
            await together(calls.forever(), fail_at_once(), calls.forever())
        await asyncio.sleep(0)  # The caller is not cancelled.
        assert calls.ended == ["cancelled"] * 2
