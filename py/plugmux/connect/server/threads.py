"""Handlers written without `async`: they run in the event loop's worker threads, and so do their iterators.

A thread cannot be interrupted. When a call is cancelled its handler's thread runs on to the handler's next message (or
its end) and stops there; nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import copy_context
from typing import Any

__all__ = ["BlockingIterator", "call_in_thread", "iterate_in_threads"]

_END = object()


async def call_in_thread(function: Callable[..., Any], *arguments: object) -> Any:
    """What a blocking function gives; it runs in a worker thread."""
    return await asyncio.to_thread(_call, function, arguments)


def _call(function: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
    try:
        return function(*arguments)
    except StopIteration as error:  # No future takes one: whoever waits for it would wait for ever.
        raise RuntimeError("the handler raised StopIteration") from error


class BlockingIterator(Iterator[Any]):
    """What an asynchronous iterator gives, for a worker thread; each step blocks the thread."""

    def __init__(self, items: AsyncIterator[Any]) -> None:
        self._items = items
        self._loop = asyncio.get_running_loop()

    def __next__(self) -> Any:
        item = asyncio.run_coroutine_threadsafe(self._step(), self._loop).result()
        if item is _END:
            raise StopIteration
        return item

    async def _step(self) -> Any:
        return await anext(self._items, _END)


async def iterate_in_threads(items: Iterator[Any]) -> AsyncIterator[Any]:
    """What a blocking iterator gives; each step runs in a worker thread, when it is asked for."""
    loop = asyncio.get_running_loop()
    context = copy_context()
    step: asyncio.Future[Any] | None = None
    try:
        while True:
            step = loop.run_in_executor(None, lambda: context.run(next, items, _END))
            item = await asyncio.shield(step)
            if item is _END:
                return
            yield item
    finally:
        if step is not None:
            step.add_done_callback(lambda done: _close(loop, items, done))


def _close(loop: asyncio.AbstractEventLoop, items: Iterator[Any], step: asyncio.Future[Any]) -> None:
    """Close a generator once its last step is over; until then it cannot be closed."""
    if not step.cancelled():
        step.exception()  # it has been raised where it was waited for, or nobody is left to hear of it
    close = getattr(items, "close", None)
    if close is not None and not loop.is_closed():
        loop.run_in_executor(None, close)
