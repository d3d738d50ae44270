"""`gather` and `race`: several coroutines at once, of which none outlives the call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from plugmux.aio.gather import gather
from plugmux.aio.race import race, single


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


def test_one_reason_is_taken_from_a_group() -> None:
    reason = LookupError("no")
    group = BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [reason]), ValueError("other")])
    assert single(group) is reason
