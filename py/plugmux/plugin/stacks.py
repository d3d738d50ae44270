"""The stacks of the threads and tasks of this process, to find out why it does not answer."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Iterable, Iterator
from traceback import FrameSummary, StackSummary, extract_stack
from types import AsyncGeneratorType, FrameType
from typing import TYPE_CHECKING, Any

from plugmux_proto.plugmux.v1.diagnostics_connect import DiagnosticsService
from plugmux_proto.plugmux.v1.diagnostics_pb2 import DumpRequest, DumpResponse

if TYPE_CHECKING:
    from ..connect import Context

__all__ = ["Diagnostics", "stacks"]

MAX_DUMP = 256 * 1024
FRAME = ("cr_frame", "gi_frame", "ag_frame")
AWAITED = ("cr_await", "gi_yieldfrom", "ag_await")
"""The attributes of coroutines, of generators, and of asynchronous generators."""

STEPS = frozenset({"async_generator_asend", "async_generator_athrow"})


class Diagnostics(DiagnosticsService):
    """The service by which a runtime reads the stacks of its plugin."""

    async def dump(self, request: DumpRequest, context: Context) -> DumpResponse:
        return DumpResponse(text=stacks()[:MAX_DUMP])


def stacks() -> str:
    """The stacks of all threads, and of all tasks of the running loop, each with the outermost call first."""
    return "\n".join([*_threads(), *_tasks()])


def _threads() -> Iterator[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        yield f"thread {names.get(ident, ident)}:\n{_text(extract_stack(frame))}"


def _tasks() -> Iterator[str]:
    asking = asyncio.current_task()
    for task in asyncio.all_tasks():
        if task is not asking:
            yield f"task {task.get_name()}:\n{_text(_awaiting(task.get_coro()))}"


def _awaiting(awaited: Any) -> Iterator[FrameSummary]:
    """The frames of a coroutine and of all coroutines that it awaits, from the outside in."""
    while awaited is not None:
        frame: FrameType | None = _first(awaited, FRAME)
        if frame is not None:
            yield FrameSummary(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        awaited = _stepped(awaited) if type(awaited).__name__ in STEPS else _first(awaited, AWAITED)


def _stepped(step: object) -> object:
    """The asynchronous generator of a step of `async for`, which only the garbage collector knows."""
    return next((found for found in gc.get_referents(step) if isinstance(found, AsyncGeneratorType)), None)


def _first(awaited: Any, attributes: Iterable[str]) -> Any:
    return next(filter(None, (getattr(awaited, name, None) for name in attributes)), None)


def _text(frames: Iterable[FrameSummary]) -> str:
    return "".join(StackSummary.from_list(list(frames)).format())
