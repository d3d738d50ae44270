"""Which plugins a runtime has, and how one is begun, switched and replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..errors import ConfigError, StateError
from ..registration import RegistrationRefused
from ..servable import Servable
from .arriving import InProcessPlugin
from .breaker import BreakerPolicy
from .byhand import patient
from .configurations import Configurable, reconfigure
from .error import PluginCause, PluginError
from .installed import Installed, watch
from .launched import LaunchedPlugin
from .replace import replace
from .requirement import Requirement
from .source import Launch, PluginSource, as_launch, as_source
from .state import State

if TYPE_CHECKING:
    from .discovery import Found
    from .hosted import HostedPlugin
    from .reception import Reception
    from .registry import Registry

__all__ = ["DRAIN_TIME", "Fleet"]

DRAIN_TIME = 30.0


class Fleet:
    """Begins and ends the plugins of a runtime.

    Args:
        registry: has them.
        reception: what they are offered.
        installed: finds those that are given by name and version.
        timeout: seconds that a plugin has to register, where its `Launch` says nothing else.
        parallel_starts: how many are started at the same time.
        breaker: when calls are kept from one.
        on_change: told of every change of one's state.
    """

    def __init__(
        self,
        registry: Registry,
        reception: Reception,
        installed: Installed,
        timeout: float,
        parallel_starts: int,
        breaker: BreakerPolicy,
        on_change: Callable[[HostedPlugin, State], None],
    ) -> None:
        self._registry = registry
        self._reception = reception
        self._installed = installed
        self._timeout = timeout
        self._starts = asyncio.Semaphore(parallel_starts)
        self._breaker = breaker
        self._on_change = on_change
        self._closed = False

    async def close(self) -> None:
        """End all plugins in parallel; from now on none is started."""
        self._closed = True
        async with asyncio.TaskGroup() as group:
            for plugin in self._registry.everybody():
                group.create_task(plugin.leave())

    def check_open(self) -> None:
        """See that plugins may be started.

        Raises:
            StateError: the runtime has been closed.
        """
        if self._closed:
            raise StateError("the runtime has been closed; make a new one")

    async def begin(self, source: Launch | Servable) -> None:
        """Begin a plugin that stays, whether it runs or has failed.

        Raises:
            ConfigError: its name is taken, or an object cannot be a plugin.
        """
        if isinstance(source, Launch):
            await self._begin_launch(source)
            return
        try:
            await self._begin_in_process(source)
        except RegistrationRefused as error:
            raise ConfigError(f"{type(source).__name__} cannot be a plugin: {error}") from error

    async def launch(self, source: PluginSource, name: str | None) -> HostedPlugin:
        """Begin a plugin that stays if it runs. (`Runtime.launch`)"""
        prepared = self._prepared(source)
        if not isinstance(prepared, Launch):
            return await self._begin_in_process(prepared, name)
        replicas = await self._begin_launch(prepared)
        self.check_open()
        error = next((plugin.error for plugin in replicas if plugin.error is not None), None)
        if error is not None:
            for plugin in replicas:
                await plugin.stop()
                self._registry.remove(plugin)
            raise error
        return replicas[0]

    def _prepared(self, source: PluginSource) -> Launch | Servable:
        prepared = as_source(source)
        return self._installed.find(prepared) if isinstance(prepared, Requirement) else prepared

    async def _begin_launch(self, launch: Launch) -> list[LaunchedPlugin]:
        self.check_open()
        if launch.name in self._registry:
            raise ConfigError(f"there is a plugin named {launch.name!r} already: give this one another name")
        replicas = self._replicas(launch)
        for plugin in replicas:
            self._registry.add(plugin)
            plugin.start()
        for plugin in replicas:
            await plugin.started()
        return replicas

    def _replicas(self, launch: Launch) -> list[LaunchedPlugin]:
        reception, starts = self._reception, self._starts
        if launch.by_hand:
            reception, starts = patient(reception), asyncio.Semaphore(launch.replicas)
        return [
            LaunchedPlugin(launch, reception, self._timeout, starts, self._on_change, self._breaker)
            for _ in range(launch.replicas)
        ]

    async def _begin_in_process(self, servable: Servable, name: str | None = None) -> HostedPlugin:
        self.check_open()
        plugin = InProcessPlugin(
            servable, name or type(servable).__name__, "v0.0.0", self._reception, self._registry, self._on_change
        )
        await plugin.start()
        return plugin

    async def follow(self, found: Iterable[Found], interval: float) -> None:
        """Keep to what is installed, for ever.

        Args:
            found: what has been begun of it.
            interval: seconds between two looks.
        """
        await watch(
            self._installed,
            found,
            interval,
            add=self._begin_launch,
            replace=lambda launch: self.replace(launch.name, launch),
            remove=self._remove,
        )

    async def _remove(self, name: str) -> None:
        for plugin in self._launched(name):
            await plugin.stop()
            self._registry.remove(plugin)

    async def disable(self, name: str) -> None:
        """End a launched plugin and keep it from being started again. (`Runtime.disable`)"""
        replicas = self._launched(name)
        async with asyncio.TaskGroup() as group:
            for plugin in replicas:
                group.create_task(plugin.stop(State.DISABLED))

    async def enable(self, name: str) -> None:
        """Start a plugin that does not run. (`Runtime.enable`)"""
        self.check_open()
        replicas = self._launched(name)
        for plugin in replicas:
            plugin.start()
        for plugin in replicas:
            await plugin.started()
            self.check_open()
            if plugin.error is not None:
                raise plugin.error

    async def restart(self, name: str) -> None:
        """End a launched plugin and start it anew. (`Runtime.restart`)"""
        self.check_open()
        replicas = self._launched(name)
        async with asyncio.TaskGroup() as group:
            for plugin in replicas:
                group.create_task(plugin.stop())
        await self.enable(name)

    async def replace(
        self,
        name: str,
        source: PluginSource | None = None,
        *,
        drain_time: float = DRAIN_TIME,
        same_services: bool = True,
    ) -> HostedPlugin:
        """Put a new process in the place of a launched plugin, while calls go on. (`Runtime.replace`)"""
        self.check_open()
        old = self._launched(name)
        launch = old[0].launch if source is None else as_launch(self._prepared(source), name)
        if launch.detached and old[0].launch.detached:
            raise ConfigError(
                f"plugin {name!r} is detached, and no other process can take its place while it runs: end it and start "
                f"it anew (restart), and give a changed configuration to the next runtime"
            )
        new = self._replicas(launch)
        await replace(self._registry, old, new, drain_time=drain_time, same_services=same_services)
        return new[0]

    async def configure(self, name: str, configuration: Configurable) -> None:
        """Change the configuration of a plugin. (`Runtime.configure`)"""
        await reconfigure(
            self._reception.configurations, self._registry.named(name), configuration, lambda: self.replace(name)
        )

    def _launched(self, name: str) -> list[LaunchedPlugin]:
        launched = [plugin for plugin in self._registry.named(name) if isinstance(plugin, LaunchedPlugin)]
        if not launched:
            raise PluginError(name, PluginCause.UNKNOWN, "it was not launched by this runtime, which cannot switch it")
        return launched
