"""A plugin of pytest: the tasks of every event loop begin at once, as `asyncio.eager_task_factory` lets them."""

import asyncio
import asyncio.base_events
from typing import Any

initialise = asyncio.base_events.BaseEventLoop.__init__


def with_eager_tasks(loop: Any) -> None:
    """Make an event loop whose tasks begin at once."""
    initialise(loop)
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]  # since Python 3.12


asyncio.base_events.BaseEventLoop.__init__ = with_eager_tasks  # type: ignore[assignment, method-assign]
