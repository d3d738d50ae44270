"""What happens, told to everybody who reads along; nobody who reads slowly holds it up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Generic, TypeVar

__all__ = ["Broadcast"]

MAX_UNREAD = 1000

Item = TypeVar("Item")


class Broadcast(Generic[Item]):
    """Gives every reader each item from the moment it began to read; a reader that lags loses the oldest."""

    def __init__(self) -> None:
        self._readers: set[_Subscription[Item]] = set()
        self._closed = False

    def publish(self, item: Item) -> None:
        """Tell every reader of an item."""
        for reader in self._readers:
            reader.put(item)

    def close(self) -> None:
        """Let every reader come to its end."""
        self._closed = True
        for reader in self._readers:
            reader.woken.set()

    async def read(
        self, first: Callable[[], Iterable[Item]] = tuple, wanted: Callable[[Item], bool] | None = None
    ) -> AsyncGenerator[Item, None]:
        """The items from the first `anext` on, until `close`.

        Args:
            first: gives items to begin with; called at the moment from which on the reader is told of new ones.
            wanted: tells which items to read; all by default.
        """
        reader = _Subscription(first(), wanted)
        self._readers.add(reader)
        try:
            while True:
                while reader.unread:
                    yield reader.unread.popleft()
                if self._closed:
                    return
                reader.woken.clear()
                await reader.woken.wait()
        finally:
            self._readers.discard(reader)


class _Subscription(Generic[Item]):
    def __init__(self, first: Iterable[Item], wanted: Callable[[Item], bool] | None) -> None:
        self.unread = deque(first)
        self.woken = asyncio.Event()
        self._wanted = wanted

    def put(self, item: Item) -> None:
        if self._wanted is not None and not self._wanted(item):
            return
        if len(self.unread) >= MAX_UNREAD:
            self.unread.popleft()
        self.unread.append(item)
        self.woken.set()
