"""An event loop in a thread of its own, to which other threads bring their calls.

A thread that brings a call waits for its end. It may be interrupted there (Ctrl-C): the call is cancelled then, and the
interrupt passes on when the call has ended, so that nothing goes on behind the caller's back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from ..errors import StateError

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Runs calls for other threads, concurrently; any number of threads may wait at the same time.

    Args:
        name: what messages call its owner.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._owner = os.getpid()
        self._lock = threading.RLock()  # The garbage collector may close an iterator where it is held.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._closed = False
        self._waiting: set[Future[Any]] = set()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    @property
    def running(self) -> bool:
        """Whether calls can be brought."""
        return self._loop is not None and not self._closed

    def start(self) -> None:
        """Start the thread.

        Raises:
            StateError: it has been started, or closed, before.
        """
        ready: Future[asyncio.AbstractEventLoop] = Future()
        with self._lock:
            if self._closed or self._loop is not None:
                raise StateError(f"{self._name} has been started before; make a new one")
            self._ready = ready
            self._thread.start()
            self._loop = ready.result()

    def _live(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._until_stopped())
        finally:
            for done in tuple(self._waiting):
                self._refuse(done)

    async def _until_stopped(self) -> None:
        self._ready.set_result(asyncio.get_running_loop())
        await self._stop.wait()

    def run(self, call: Awaitable[T]) -> T:
        """Run a call and wait for its end.

        Raises:
            StateError: the thread does not run, belongs to another process, or is the calling one.
            BaseException: what the call raised, or what interrupted this thread.
        """
        done: Future[T] = Future()
        whole = call if isinstance(call, Coroutine) else _whole(call)
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            if not self._closed:
                tasks.append(asyncio.get_running_loop().create_task(whole))
                tasks[0].add_done_callback(lambda task: self._tell(done, task))

        def cancel() -> None:
            if tasks:
                tasks[0].cancel()
            else:
                self._refuse(done)

        try:
            self._bring(done, begin)
            return done.result()
        except BaseException:  # An interrupt comes at any point, also while the call is being brought.
            if done in self._waiting and not done.done() and self._loop is not None:
                self._loop.call_soon_threadsafe(cancel)
                done.exception()
            raise
        finally:
            self._waiting.discard(done)
            if not tasks:  # It was never begun: Python must not warn that it was not awaited.
                whole.close()
                getattr(call, "close", whole.close)()

    def _bring(self, done: Future[Any], begin: Callable[[], None]) -> None:
        if os.getpid() != self._owner:
            raise StateError(
                f"{self._name} belongs to process {self._owner}, of which this one is a fork: make a new one"
            )
        if threading.current_thread() is self._thread:
            raise StateError(f"{self._name} cannot wait in its own event loop; use the asynchronous client there")
        with self._lock:
            if self._loop is None or self._closed:
                raise StateError(f"{self._name} {'has been closed' if self._closed else 'has not been started'}")
            self._waiting.add(done)
            self._loop.call_soon_threadsafe(begin)

    def _tell(self, done: Future[T], task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._refuse(done)
        elif (error := task.exception()) is not None:
            done.set_exception(error)
        else:
            done.set_result(task.result())

    def _refuse(self, done: Future[Any]) -> None:
        if not done.done():
            done.set_exception(StateError(f"{self._name} was closed while the call was under way"))

    def iterate(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """What an asynchronous generator gives, item by item, until it or the thread ends; leaving it early closes it.

        Raises:
            StateError: the thread did not run at the first item.
        """
        begun = False
        try:
            while True:
                try:
                    item = self.run(anext(items))
                except StopAsyncIteration:
                    return
                except StateError:
                    if begun and self._closed:
                        return
                    raise
                begun = True
                yield item
        finally:
            with contextlib.suppress(StateError):  # Then there is nothing left to close.
                self.run(items.aclose())

    def close(self) -> None:
        """End the thread; calls under way are cancelled. Harmless at any time, more than once, and in a fork."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            loop, closed = self._loop, self._closed
            self._closed = True
            if loop is not None and not closed:
                loop.call_soon_threadsafe(self._stop.set)
        if loop is not None and threading.current_thread() is not self._thread:
            self._thread.join()


async def _whole(call: Awaitable[T]) -> T:
    return await call
