"""The threads that run plain `def` handlers.

They are daemon threads, so that a handler that never returns does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any

from ..limits import THREADS

__all__ = ["THREADS", "Workers", "workers_of"]

logger = logging.getLogger("plugmux.connect")

IDLE_TIME = 10.0
"""Seconds without work after which a thread ends."""


class Workers:
    """Runs blocking functions in threads, which it starts as they are needed.

    Args:
        name: appears in the log and in the names of the threads.
        size: the most threads; further functions wait, and a warning is logged.
    """

    def __init__(self, name: str, size: int = THREADS) -> None:
        self._name = name
        self._size = size
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = 0
        self._idle = 0
        self._told = False

    def run(self, function: Callable[..., Any], *arguments: object) -> asyncio.Future[Any]:
        """Run a function in the context of the caller. Cancelling the future before the function has begun skips it."""
        context = copy_context()
        done: Future[Any] = Future()
        with self._changed:
            self._waiting.append((done, lambda: context.run(function, *arguments)))
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif self._threads < self._size:
                threading.Thread(target=self._work, name=f"plugmux: {self._name}", daemon=True).start()
                self._threads += 1
            elif not self._told:
                self._told = True
                logger.warning(
                    "a handler of %s waits for a thread: all %d are taken by handlers that block; raise "
                    "RpcLimits(threads=...) of the service to have more",
                    self._name,
                    self._size,
                )
        return asyncio.wrap_future(done)

    def _work(self) -> None:
        while (work := self._next()) is not None:
            done, function = work
            if not done.set_running_or_notify_cancel():
                continue
            try:
                result = function()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(result)
            del work, done, function

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._changed:
            while not self._waiting:
                self._told = False
                self._idle += 1
                woken = self._changed.wait(IDLE_TIME)
                self._idle -= 1
                if not woken and not self._waiting:
                    self._threads -= 1
                    return None
            return self._waiting.popleft()


def workers_of(owner: object, name: str, size: int = THREADS) -> Workers:
    """The threads of an object that has blocking methods, made at the first call.

    Args:
        owner: the object.
        name: appears in the log.
        size: the most threads.
    """
    workers: Workers = owner.__dict__.setdefault("_workers", Workers(name, size))
    return workers
