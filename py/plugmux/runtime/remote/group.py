"""The replicas of a plugin that has several addresses: one for each, which comes and goes with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ...aio.closing import end_within
from ...aio.race import race
from ...errors import ConfigError, PluginCause, PluginError
from ...network.places import Lookup, Place, Places
from ..plugin import PluginRecord
from ..registry import Registry
from ..state import NEXT, State
from .supervisor import tell

if TYPE_CHECKING:
    from ..settings import Policies
    from ..source import Launch
    from ..supervisor import Supervisor
    from .source import Dialer

__all__ = ["RemoteGroup"]

logger = logging.getLogger("plugmux.runtime")

START_TIME = 10.0
"""Seconds that the start of a runtime waits for the first addresses of a name, and for what is dialled there."""


class RemoteGroup:
    """Keeps a replica for every address of a plugin. While there is none, a record stands for those to come.

    Args:
        launch: the plugin, whose runner is a `Dialer`.
        registry: has the replicas.
        policies: how the runtime treats them.
        make: makes the supervisor of a launch.
        look_up: looks names up; by default by DNS.
    """

    def __init__(
        self,
        launch: Launch,
        registry: Registry,
        policies: Policies,
        make: Callable[[Launch], Sequence[Supervisor]],
        look_up: Lookup | None = None,
    ) -> None:
        self._launch = launch
        self._dialer: Dialer = launch.runner  # type: ignore[assignment]  # its caller has seen a `Dialer`
        self._registry = registry
        self._make = make
        self._look_up = look_up
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._first = asyncio.Event()
        self._replicas: dict[Place, Supervisor] = {}
        self._draining: set[Supervisor] = set()
        self._none = PluginRecord(launch.name, State.STARTING, self, policies, grants=launch.grants)

    async def start(self) -> None:
        """Begin to follow the addresses; returns when the first replica runs, or after a while."""
        self._registry.add(self._none)
        self._tasks = [
            asyncio.create_task(self._follow(address_index), name=f"plugmux: follow {self._launch.name}")
            for address_index in range(len(self._dialer.addresses))
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(START_TIME):
                await race(self._first.wait(), self._stop.wait())
                for plugin in tuple(self._replicas.values()):
                    await plugin.started()

    async def _follow(self, index: int) -> None:
        address = self._dialer.addresses[index]
        try:
            await Places(address, self._look_up).follow(self._keep, self._stop.wait(), self._failed, self._rank)
        except ConfigError as error:  # What looks names up is not installed.
            self._failed(str(error))
        except Exception as error:
            logger.exception("plugin %s: %s is followed no more", self._launch.name, address)
            self._failed(f"{address} is followed no more: {error!r}")

    def check_running(self) -> None:
        """Check that a replica runs.

        Raises:
            PluginError: none does.
        """
        records = self._registry.named(self._launch.name)
        if not any(record.ready for record in records):
            raise records[0].not_running()

    def _failed(self, why: str) -> None:
        logger.warning("plugin %s: %s", self._launch.name, why)
        if not self._replicas:
            tell(self._none, why, PluginError(self._launch.name, PluginCause.UNREACHABLE, why))
        self._first.set()

    async def _keep(self, place: Place, leave: asyncio.Event) -> None:
        """Have a replica at a place until that has gone; its calls under way end before."""
        launch = replace(self._launch, runner=replace(self._dialer, place=place))
        (plugin,) = self._make(launch)
        self._replicas[place] = plugin
        self._rank(place)
        self._registry.add(plugin.record)
        if State.STOPPED in NEXT[self._none.state]:
            self._none.move(State.STOPPED)  # Who waits for a replica looks again.
        self._registry.remove(self._none)
        plugin.start()
        self._first.set()
        await leave.wait()
        if self._stop.is_set():
            return  # The runtime ends its plugins itself.
        await self._drain(place, plugin)

    def _rank(self, place: Place) -> None:
        """Take the priority and the weight that a record gives a place now."""
        if (plugin := self._replicas.get(place)) is not None:
            plugin.record.priority, plugin.record.weight = place.priority, place.weight

    async def _drain(self, place: Place, plugin: Supervisor) -> None:
        del self._replicas[place]
        if not self._replicas:
            self._none = PluginRecord(
                self._launch.name, State.STARTING, self, plugin.record.policies, grants=self._launch.grants
            )
            self._registry.add(self._none)
            tell(self._none, "its name has no addresses now")
        self._registry.remove(plugin.record)
        self._draining.add(plugin)
        with suppress(TimeoutError):
            async with asyncio.timeout(plugin.record.policies.timeouts.replacement):
                await plugin.record.wait_idle()
        await plugin.leave()
        self._draining.discard(plugin)

    async def close(self) -> None:
        """Follow no longer, and end what is to leave; the other replicas are ended by the runtime."""
        self._stop.set()
        await end_within(1.0, self._tasks)
        await asyncio.gather(*(plugin.leave() for plugin in self._draining))

    async def stop(self) -> None:
        """The record that stands for replicas to come has nothing to end."""

    async def leave(self) -> None:
        """As `stop`."""
