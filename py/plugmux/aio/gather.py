"""Several calls at the same time, of which none outlives the others."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

__all__ = ["gather"]

T = TypeVar("T")


async def gather(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Give what each of several calls returns, in their order.

    The first that raises cancels the others, and its exception is raised as it is. Cancelling the caller cancels all.
    """
    calls = list(calls)
    if len(calls) < 2:
        return [await call for call in calls]
    # A TaskGroup cannot have a task that fails as it is made (asyncio.eager_task_factory): it takes no more tasks then,
    # and in Python 3.12 its caller remains cancelled.
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in done and not task.cancelled():
            task.result()
    return [task.result() for task in tasks]
