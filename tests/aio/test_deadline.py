"""Two that cancel one task: its clean-up is not cut short, and neither cancellation is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from plugmux.aio import deadline
from plugmux.aio.deadline import Deadline, cancel_once


class Work:
    """Work that is cancelled, and cleans up for a while."""

    def __init__(self, seconds: float | None = None) -> None:
        self.cleaned = False
        self.cleaning = asyncio.Event()
        self.may_end = asyncio.Event()
        self.task = asyncio.create_task(self._run(seconds))

    async def _run(self, seconds: float | None) -> str:
        limit = None if seconds is None else Deadline(seconds)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cleaning.set()
            await self.may_end.wait()
            self.cleaned = True
            if limit is not None and limit.claims():
                return "late"
            raise
        finally:
            if limit is not None:
                limit.cancel()
        return ""


async def end(work: Work) -> str:
    work.may_end.set()
    try:
        return await work.task
    except asyncio.CancelledError:
        return "cancelled"


async def test_a_caller_that_leaves_when_the_time_is_over_cuts_no_clean_up_short() -> None:
    work = Work(0.0)
    await work.cleaning.wait()
    cancel_once(work.task)
    await asyncio.sleep(0)
    assert await end(work) == "late"
    assert work.cleaned


async def test_time_that_is_over_when_the_caller_has_left_cuts_no_clean_up_short() -> None:
    work = Work(0.01)
    await asyncio.sleep(0)
    cancel_once(work.task)
    await work.cleaning.wait()
    await asyncio.sleep(0.02)  # Timers fire in their order: the time of the work is over then.
    assert await end(work) == "cancelled"
    assert work.cleaned


def leave(work: Work) -> None:
    cancel_once(work.task)


def nothing(work: Work) -> None: ...


@pytest.mark.parametrize(("seconds", "second"), [(None, leave), (0.01, nothing)], ids=["left", "late"])
async def test_a_clean_up_that_does_not_end_is_cancelled_in_its_turn(
    monkeypatch: pytest.MonkeyPatch, seconds: float | None, second: Callable[[Work], None]
) -> None:
    monkeypatch.setattr(deadline, "CLEAN_UP_TIME", 0.01)
    work = Work(seconds)
    await asyncio.sleep(0)
    cancel_once(work.task)
    await work.cleaning.wait()
    second(work)
    await asyncio.wait([work.task])
    assert work.task.cancelled()
    assert not work.cleaned
