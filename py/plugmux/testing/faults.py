"""Faults of a link, injected by a test: delay, loss, a slow reader, and a cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from ..errors import ConfigError

__all__ = ["Direction", "FlowState", "LinkFaults", "direction_of"]


class Direction(Enum):
    """Which way something goes on the link of a plugin."""

    TO_PLUGIN = "to_plugin"
    TO_HOST = "to_host"


@dataclass(slots=True)
class FlowState:
    """What holds for the bytes of one direction.

    Args:
        delay: seconds that each byte takes.
        rate: bytes that the reader takes in a second; 0 for a reader that has stopped, `None` for no limit.
    """

    delay: float = 0.0
    rate: float | None = None


class Flowing(Protocol):
    """One direction of a connection."""

    dropping: bool

    def wake(self) -> None:
        """Look at the faults anew."""
        ...

    def clear(self) -> None:
        """Forget the bytes that have not arrived."""
        ...


class LinkFaults:
    """Injects faults into the link of a plugin, and into those that come after it.

        with host.faults.delay(0.2):
            ...

    Each method takes effect at once. `delay` and `slow_reader` return a context manager that restores at its end what
    held before; without `with` the fault stays. Times are those of the event loop, so that a `FakeClock` rules them.
    """

    def __init__(self) -> None:
        self._states = {direction: FlowState() for direction in Direction}
        self._flows: dict[Direction, Flowing] = {}
        self._lose: Callable[[Exception], None] = lambda error: None

    def of(self, direction: Direction) -> FlowState:
        """What holds for one direction."""
        return self._states[direction]

    def attach(self, to_plugin: Flowing, to_host: Flowing, lose: Callable[[Exception], None]) -> None:
        """Let the faults act on a connection from now on, and no longer on the one before.

        Args:
            to_plugin: the direction to the plugin.
            to_host: the direction to the host.
            lose: ends both ends of the connection with an error.
        """
        self._flows = {Direction.TO_PLUGIN: to_plugin, Direction.TO_HOST: to_host}
        self._lose = lose

    def delay(self, seconds: float, direction: Direction | str | None = None) -> AbstractContextManager[None]:
        """Let every byte that has not arrived take longer from when it was written; the order stays.

        Args:
            seconds: how long, from 0.
            direction: which way; both by default.

        Raises:
            ConfigError: the time is below 0 or not finite, or there is no such direction.
        """
        if not 0 <= seconds < math.inf:
            raise ConfigError(f"the delay of a link is {seconds} s; it must be 0 or more, and finite")
        return self._change(direction, delay=seconds)

    def slow_reader(self, direction: Direction | str | None = None, *, rate: float = 0) -> AbstractContextManager[None]:
        """Let a reader take few bytes, so that the writer finds its buffers full.

        Args:
            direction: which way the bytes go that are read slowly; both by default.
            rate: bytes that it takes in a second; 0 for none.

        Raises:
            ConfigError: the rate is below 0 or not finite, or there is no such direction.
        """
        if not 0 <= rate < math.inf:
            raise ConfigError(f"the rate of a slow reader is {rate} bytes/s; it must be 0 or more, and finite")
        return self._change(direction, rate=rate)

    def drop(self, direction: Direction | str | None = None) -> None:
        """Lose every byte that is under way or written from now on, without an error, as if a cable were pulled.

        It lasts until the link ends: a link cannot go on behind a gap. The link that comes after it is whole.

        Args:
            direction: which way; both by default.

        Raises:
            ConfigError: there is no such direction.
        """
        for each in _directions(direction):
            if flow := self._flows.get(each):
                flow.dropping = True
                flow.clear()

    def cut(self, error: Exception | None = None) -> None:
        """End the connection at both ends at once; harmless where there is none.

        Args:
            error: what both ends are told; `ConnectionResetError` by default.
        """
        self._lose(error or ConnectionResetError("the test has cut the link"))

    def clear(self) -> None:
        """End all delays and slow readers."""
        for state in self._states.values():
            state.delay, state.rate = 0.0, None
        self._wake()

    def _wake(self) -> None:
        for flow in self._flows.values():
            flow.wake()

    def _change(self, direction: Direction | str | None, **values: float) -> AbstractContextManager[None]:
        states = [self._states[each] for each in _directions(direction)]
        before = [replace(state) for state in states]
        for state in states:
            for name, value in values.items():
                setattr(state, name, value)
        self._wake()

        @contextmanager
        def restored() -> Iterator[None]:
            try:
                yield
            finally:
                for state, old in zip(states, before, strict=True):
                    for name in values:
                        setattr(state, name, getattr(old, name))
                self._wake()

        return restored()


def direction_of(direction: Direction | str) -> Direction:
    """The direction of that name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return Direction(direction)
    except ValueError:
        raise ConfigError(f"{direction!r} is no direction of a link: 'to_plugin' or 'to_host'") from None


def _directions(direction: Direction | str | None) -> list[Direction]:
    return list(Direction) if direction is None else [direction_of(direction)]
