"""What happens to the plugins of a runtime, as it happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from .error import PluginError
from .state import State

__all__ = ["Event", "Events"]

MOST_UNREAD = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a plugin's state.

    Args:
        plugin: the plugin's name.
        before: the state that it left.
        state: the state that it came into.
        status: why, for a person.
        error: what went wrong, if something did.
        time: when, in seconds since the epoch.
    """

    plugin: str
    before: State
    state: State
    status: str = ""
    error: PluginError | None = None
    time: float = field(default_factory=time.time)


class Events:
    """Gives every reader every event from the moment it began to read; a reader that lags loses the oldest."""

    def __init__(self) -> None:
        self._readers: set[asyncio.Queue[Event | None]] = set()

    def publish(self, event: Event) -> None:
        """Tell every reader of an event."""
        for queue in self._readers:
            _put(queue, event)

    def close(self) -> None:
        """Let every reader come to its end."""
        for queue in self._readers:
            _put(queue, None)

    async def read(self) -> AsyncIterator[Event]:
        """The events from now on, until the runtime closes."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(MOST_UNREAD)
        self._readers.add(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._readers.discard(queue)


def _put(queue: asyncio.Queue[Event | None], event: Event | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(event)
