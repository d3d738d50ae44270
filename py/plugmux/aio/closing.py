"""Closing that completes although the caller is cancelled, and in bounded time although a task hangs.

mypyc, which can compile the modules that every call passes, loses the error of a coroutine that awaits in `finally` or
`except`. This module stays interpreted; such a module awaits through `then_close` and `or_close`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

__all__ = ["CLEAN_UP_TIME", "end_within", "or_close", "shielded", "then_close", "until_stopped"]

CLEAN_UP_TIME = 2.0
"""Seconds that a task is given to end after it has been cancelled."""

LAST_TIME = 1.0
"""Seconds that a task is given to end after it has been cancelled a second time."""

T = TypeVar("T")


async def shielded(work: Coroutine[Any, Any, T] | asyncio.Task[T], *, leaves: Callable[[], bool] = lambda: False) -> T:
    """Wait for work that must not stop half-way; a cancellation of the caller is raised when the work has ended.

    Args:
        work: what is done, in a task of its own.
        leaves: called when the caller is cancelled. If it returns true, the caller is cancelled at once and the work
            goes on: the work may be waiting for the caller to end.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
            if leaves():
                raise
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()


async def end_within(seconds: float | None, tasks: Iterable[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Wait for tasks to end; cancel those that have not ended in time, and wait for them a little longer.

    Args:
        seconds: the time that they are given before they are cancelled; `None` for as long as they take.
        tasks: the tasks.

    Returns:
        The tasks that have not ended although they were cancelled. They are left behind.
    """
    left = set(tasks)
    if left and seconds != 0:
        _, left = await asyncio.wait(left, timeout=seconds)
    for limit in (CLEAN_UP_TIME, LAST_TIME):
        for task in left:
            if limit == LAST_TIME or not task.cancelling():  # A second one would cut its clean-up short.
                task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=limit)
    return left


async def until_stopped(work: Callable[[], Awaitable[T]], stop: asyncio.Event, grace: float) -> T | None:
    """Wait for work. When an event is set meanwhile, the work is given some time, and is cancelled then.

    Args:
        work: begins what is done; it is a task of its own.
        stop: the event.
        grace: seconds that the work may still take.

    Returns:
        What it has returned; `None` where it was cancelled for the event. What it has made is not lost where the caller
        is cancelled meanwhile: it is returned, and the cancellation comes at the caller's next wait.
    """
    task, stopping = asyncio.ensure_future(work()), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await end_within(grace, [task])
    except asyncio.CancelledError:
        await end_within(0, [task])
        if not task.done() or task.cancelled() or task.exception() is not None:
            raise
        caller = asyncio.current_task()
        assert caller is not None
        caller.uncancel()
        caller.cancel()
    finally:
        stopping.cancel()
    return None if stop.is_set() and (not task.done() or task.cancelled()) else task.result()


async def then_close(work: Awaitable[T], close: Callable[[], Awaitable[object]] | None) -> T:
    """Wait for work, and then, however it has ended, for what `close` returns, if there is anything to close."""
    try:
        return await work
    finally:
        if close is not None:
            await close()


async def or_close(work: Awaitable[T], close: Callable[[], Awaitable[object]]) -> T:
    """Wait for work; if it fails or is cancelled, wait for what `close` returns before the error is raised."""
    try:
        return await work
    except BaseException:
        await close()
        raise
