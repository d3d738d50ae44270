"""Progress of long work on a terminal: a bar, what the work waits for, and for how long.

    async with progress(lambda: Step("fetching modules", done, total)):
        ...

Nothing is shown where stderr is not a terminal, and nothing of work that is done within `DELAY`. The line is redrawn a
few times a second from what `step` says, so that the work itself need not tell of each change. Error messages and log
lines that come meanwhile stand above it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..output import shows_status, write_status

if TYPE_CHECKING:
    from ...runtime import Runtime

__all__ = ["Step", "bar", "ending", "progress", "starting"]

DELAY = 0.4
"""Seconds after which work is shown."""

INTERVAL = 0.2
"""Seconds between two drawings."""

BAR_WIDTH = 20
NAMED = 3
"""Plugins that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where a piece of work stands.

    Args:
        what: what it waits for, such as `"starting kv-plugin"`.
        done: how many of its parts are done.
        total: how many parts it has; 0 where that is not known, and no bar is drawn.
    """

    what: str
    done: int = 0
    total: int = 0


@asynccontextmanager
async def progress(step: Callable[[], Step]) -> AsyncIterator[None]:
    """Show the progress of what is done in the block, and take it away at its end.

    Args:
        step: says where the work stands; called at each drawing.
    """
    if not shows_status():
        yield
        return
    import asyncio

    drawing = asyncio.create_task(_draw(step), name="plugmux: progress")
    try:
        yield
    finally:
        drawing.cancel()
        await asyncio.wait([drawing])
        write_status("")
        if not drawing.cancelled():
            drawing.result()


async def _draw(step: Callable[[], Step]) -> None:
    import asyncio

    clock = asyncio.get_running_loop().time
    began = clock()
    await asyncio.sleep(DELAY)
    while True:
        write_status(bar(step(), clock() - began))
        await asyncio.sleep(INTERVAL)


def bar(step: Step, seconds: float) -> str:
    """The line that shows a step after so many seconds."""
    minutes, rest = divmod(int(seconds), 60)
    time = f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    if not step.total:
        return f"{time}  {step.what}"
    filled = BAR_WIDTH * min(step.done, step.total) // step.total
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {step.done}/{step.total}  {time}  {step.what}"


def starting(runtime: Runtime) -> Callable[[], Step]:
    """What the start of a runtime waits for: the plugins that have neither registered nor failed."""
    from ...runtime import State

    def step() -> Step:
        plugins = runtime.plugins()
        waiting = [plugin for plugin in plugins if plugin.state in (State.STARTING, State.REGISTERING)]
        registering = waiting and all(plugin.state is State.REGISTERING for plugin in waiting)
        what = "waiting for the registration of " if registering else "starting "
        return Step(what + _named(plugin.name for plugin in waiting), len(plugins) - len(waiting), len(plugins))

    return step


def ending(runtime: Runtime) -> Callable[[], Step]:
    """What the end of a runtime waits for: the plugins that have not ended, and their calls."""
    from ...runtime import State

    def step() -> Step:
        plugins = runtime.plugins()
        waiting = [plugin for plugin in plugins if plugin.state in (State.RUNNING, State.STOPPING)]
        calls = sum(plugin.in_flight for plugin in waiting)
        under_way = f" ({calls} call{'s' * (calls != 1)} under way)" if calls else ""
        what = f"ending {_named(plugin.name for plugin in waiting)}{under_way}; Ctrl-C kills what is left"
        return Step(what, len(plugins) - len(waiting), len(plugins))

    return step


def _named(names: Iterable[str]) -> str:
    every = list(names)
    left = len(every) - NAMED
    return ", ".join(every[:NAMED]) + (f" and {left} more" if left > 0 else "")
