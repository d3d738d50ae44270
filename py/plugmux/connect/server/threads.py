"""Iterators that connect the event loop with the threads of plain `def` handlers.

A thread cannot be interrupted. If its call ends first, because the caller has disconnected or the deadline has passed,
the thread runs on until the handler takes its next request, yields its next response, or returns. It stops there, and
nothing waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import CancelledError
from contextvars import copy_context
from typing import Any

from ..code import Code
from ..error import RpcError

__all__ = ["BlockingIterator", "iterate_in_threads", "no_stop_iteration"]

RunInThread = Callable[..., "asyncio.Future[Any]"]

_END = object()


def no_stop_iteration(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function; turn a `StopIteration` into an error, because a future cannot hold one.

    Raises:
        RuntimeError: the function raised `StopIteration`.
    """
    try:
        return function(*arguments)
    except StopIteration as error:
        raise RuntimeError("the handler raised StopIteration") from error


class BlockingIterator(Iterator[Any]):
    """A plain iterator over an asynchronous one, for a worker thread; each step blocks the thread.

    Raises:
        RpcError: the call has ended (code `canceled`), which must not look like the end of the messages.
    """

    def __init__(self, items: AsyncIterator[Any]) -> None:
        self._items = items
        self._loop = asyncio.get_running_loop()
        self._steps: set[asyncio.Task[Any]] = set()
        self._over = False

    def __next__(self) -> Any:
        step = self._step()
        try:
            item = asyncio.run_coroutine_threadsafe(step, self._loop).result()
        except (CancelledError, RuntimeError) as error:
            if not self._over and not self._loop.is_closed():
                raise
            step.close()
            raise RpcError(Code.CANCELED, "the call has ended: no further requests will arrive") from error
        if item is _END:
            raise StopIteration
        return item

    async def _step(self) -> Any:
        if self._over:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        self._steps.add(task)
        try:
            return await anext(self._items, _END)
        finally:
            self._steps.discard(task)

    def end(self) -> None:
        """End every wait of a thread here, because the call has ended."""
        self._over = True
        for step in self._steps:
            step.cancel()


async def iterate_in_threads(items: Iterator[Any], run: RunInThread) -> AsyncIterator[Any]:
    """An asynchronous iterator over a blocking one; each step runs in a worker thread.

    Args:
        items: the iterator.
        run: runs a function in a thread that keeps nothing from ending (`Workers.run`), as a step may never return.
    """
    loop = asyncio.get_running_loop()
    context = copy_context()
    step: asyncio.Future[Any] | None = None
    try:
        while True:
            step = run(context.run, next, items, _END)
            item = await asyncio.shield(step)
            if item is _END:
                return
            yield item
    finally:
        if step is not None:
            step.add_done_callback(lambda done: _close(loop, items, done, run))


def _close(loop: asyncio.AbstractEventLoop, items: Iterator[Any], step: asyncio.Future[Any], run: RunInThread) -> None:
    """Close a generator after its last step; it cannot be closed while a step runs."""
    if not step.cancelled():
        step.exception()  # the waiting task has raised it already, or no task waits for it
    close = getattr(items, "close", None)
    if close is not None and not loop.is_closed():
        run(close)
