"""Faults put into a piece of work at each of its steps in turn: a cancellation at each await, an error at each call."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Interrupter", "raising_at"]


class _Stepped(Coroutine[Any, Any, Any]):
    """A coroutine that tells each time it waits."""

    def __init__(self, inner: Coroutine[Any, Any, Any], on_wait: Callable[[], None]) -> None:
        self._inner = inner
        self._on_wait = on_wait

    def send(self, value: Any) -> Any:
        waits_for = self._inner.send(value)
        self._on_wait()
        return waits_for

    def throw(self, *error: Any) -> Any:
        waits_for = self._inner.throw(*error)
        self._on_wait()
        return waits_for

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()


class Interrupter:
    """Cancels the caller of some work at the n-th wait in it, whichever of the tasks that it makes waits there.

    Args:
        at: which wait, from 1.

    Attributes:
        struck: whether there were so many.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self.struck = False
        self._caller: asyncio.Task[Any] | None = None

    async def run(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do the work; it must end, and end cancelled where it was struck."""
        loop = asyncio.get_running_loop()
        before = loop.get_task_factory()
        loop.set_task_factory(self._make)
        try:
            self._caller = asyncio.create_task(_awaited(work))
            await asyncio.wait([self._caller])
        finally:
            loop.set_task_factory(before)
        if self.struck:
            assert self._caller.cancelled()
        else:
            self._caller.result()

    def _make(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any] | Generator[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        assert isinstance(work, Coroutine)
        return asyncio.Task(_Stepped(work, self._waits), loop=loop, **options)

    def _waits(self) -> None:
        self._left -= 1
        if self._left == 0 and self._caller is not None and not self._caller.done():
            self.struck = True
            asyncio.get_running_loop().call_soon(self._caller.cancel)


async def _awaited(work: Callable[[], Awaitable[object]]) -> None:
    await work()


def _as_an_object_goes(frame: FrameType) -> bool:
    """Whether Python calls this as it frees an object, of any test: by a finalizer, or by a weak reference to it."""
    return frame.f_code.co_name == "__del__" or frame.f_code.co_filename.endswith(("weakref.py", "weakrefset.py"))


@contextmanager
def raising_at(
    step: int, error: BaseException, files: tuple[str, ...], function: tuple[str, str]
) -> Iterator[Callable[[], bool]]:
    """Raise an error at the n-th call, of a function of Python's or of C's, where one is made in some places.

    Args:
        step: which call, from 1.
        error: what is raised.
        files: how the paths of files end of which every call counts.
        function: the end of a path and the name of a function there; of that every call counts.

    Yields:
        Whether it has been raised.
    """
    left = step
    entered: set[FrameType] = set()

    def counts(frame: FrameType, event: str) -> bool:
        if frame.f_code.co_filename.endswith(files):
            return True
        caller = frame if event == "c_call" else frame.f_back
        return (
            caller is not None
            and caller.f_code.co_name == function[1]
            and caller.f_code.co_filename.endswith(function[0])
        )

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        if event == "call":
            if frame in entered:  # A coroutine goes on.
                return
            entered.add(frame)
        if getattr(argument, "__name__", "") == "__exit__":  # A file whose own closing fails stays open.
            return
        if _as_an_object_goes(frame):  # What is raised there, no one gets.
            return
        if event in ("call", "c_call") and counts(frame, event):
            left -= 1
            if left == 0:
                argument = None  # The error's traceback keeps this frame, and so a file whose method it would be.
                raise error

    sys.setprofile(profile)
    try:
        yield lambda: left <= 0
    finally:
        sys.setprofile(None)
        entered.clear()
