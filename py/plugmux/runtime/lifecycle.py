"""Which plugins a runtime has, and how one is begun, switched and replaced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..contract.registration import RegistrationRefused
from ..discovery.requirement import Requirement
from ..discovery.watch import Installed, watch
from ..errors import ConfigError, StateError
from ..link.servable import Servable
from ..runners.manual import patient
from .calls.breaker import BreakerPolicy
from .configuration import Configurable, reconfigure
from .error import PluginCause, PluginError
from .external import InProcessPlugin
from .replace import replace
from .source import Launch, PluginSource, as_launch, as_source
from .state import State
from .supervisor import Supervisor

if TYPE_CHECKING:
    from ..discovery.directory import Found
    from .plugin import PluginHandle
    from .registrar import Registrar
    from .registry import Registry

__all__ = ["DRAIN_TIME", "Lifecycle"]

logger = logging.getLogger("plugmux.runtime")

Outcome = TypeVar("Outcome")

DRAIN_TIME = 30.0


class Lifecycle:
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
        reception: Registrar,
        installed: Installed,
        timeout: float,
        parallel_starts: int,
        breaker: BreakerPolicy,
        on_change: Callable[[PluginHandle, State], None],
    ) -> None:
        self._registry = registry
        self._reception = reception
        self._installed = installed
        self._timeout = timeout
        self._starts = asyncio.Semaphore(parallel_starts)
        self._breaker = breaker
        self._on_change = on_change
        self._closed = False
        self._errands: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """End all plugins in parallel; from now on none is started."""
        self._closed = True
        ends = (plugin.leave() for plugin in self._registry.everybody())
        for error in await asyncio.gather(*ends, return_exceptions=True):
            if error is not None:
                logger.error("the end of a plugin has failed", exc_info=error)
        if self._errands:
            await asyncio.wait(self._errands)

    def check_open(self) -> None:
        """See that plugins may be started.

        Raises:
            StateError: the runtime has been closed.
        """
        if self._closed:
            raise StateError("the runtime has been closed; make a new one")

    async def _to_the_end(self, errand: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Do what must not stop half-way, even if the caller is cancelled; `close` waits for it."""
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_of_failure)
            raise

    async def begin(self, sources: Iterable[Launch | Servable]) -> None:
        """Begin plugins that stay, whether they run or have failed, in parallel.

        Raises:
            ConfigError: a name is taken, or an object cannot be a plugin; in an exception group.
        """
        async with asyncio.TaskGroup() as group:
            for source in sources:
                group.create_task(
                    self._begin_launch(source) if isinstance(source, Launch) else self._begin_in_process(source)
                )

    async def launch(self, source: PluginSource, name: str | None) -> PluginHandle:
        """Begin a plugin that stays if it runs. (`Runtime.launch`)"""
        prepared = self._prepared(source)
        if not isinstance(prepared, Launch):
            return await self._begin_in_process(prepared, name)
        replicas = self._add(prepared)
        try:
            await self._all_started(replicas)
        except BaseException:
            await self._to_the_end(self._dismiss(replicas))
            raise
        return self._registry.named(prepared.name)[0]

    def _prepared(self, source: PluginSource) -> Launch | Servable:
        prepared = as_source(source)
        return self._installed.find(prepared) if isinstance(prepared, Requirement) else prepared

    async def _begin_launch(self, launch: Launch) -> None:
        for plugin in self._add(launch):
            await plugin.started()

    def _add(self, launch: Launch) -> list[Supervisor]:
        self.check_open()
        if launch.name in self._registry:
            raise ConfigError(f"there is a plugin named {launch.name!r} already: give this one another name")
        replicas = self._replicas(launch)
        for plugin in replicas:
            self._registry.add(plugin)
            plugin.start()
        return replicas

    async def _all_started(self, replicas: Sequence[Supervisor]) -> None:
        """Wait for the starts of a plugin and its replicas.

        Raises:
            PluginError: one has failed, or has been ended meanwhile, and none has taken its place.
            StateError: the runtime has been closed meanwhile.
        """
        for plugin in replicas:
            await plugin.started()
            self.check_open()
            if not plugin.ready and not self._registry.has_in_place_of(plugin):
                raise plugin.not_running()

    async def _dismiss(self, plugins: Sequence[Supervisor]) -> None:
        for plugin in plugins:
            await plugin.stop()
            self._registry.remove(plugin)

    def _replicas(self, launch: Launch) -> list[Supervisor]:
        reception, starts = self._reception, self._starts
        if launch.by_hand:
            reception, starts = patient(reception), asyncio.Semaphore(launch.replicas)
        return [
            Supervisor(launch, reception, self._timeout, starts, self._on_change, self._breaker)
            for _ in range(launch.replicas)
        ]

    async def _begin_in_process(self, servable: Servable, name: str | None = None) -> PluginHandle:
        self.check_open()
        plugin = InProcessPlugin(
            servable, name or type(servable).__name__, "v0.0.0", self._reception, self._registry, self._on_change
        )
        try:
            await plugin.start()
        except RegistrationRefused as error:
            raise ConfigError(f"{type(servable).__name__} cannot be a plugin: {error}") from error
        self.check_open()
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
        await self._dismiss(self._launched(name))

    async def disable(self, name: str) -> None:
        """End a launched plugin and keep it from being started again. (`Runtime.disable`)"""
        replicas = self._launched(name)
        async with asyncio.TaskGroup() as group:
            for plugin in replicas:
                group.create_task(plugin.stop(State.DISABLED))

    async def enable(self, name: str) -> None:
        """Start a plugin that does not run. (`Runtime.enable`)"""
        self.check_open()
        await self._start_again(self._launched(name))

    async def restart(self, name: str) -> None:
        """End a launched plugin and start it anew. (`Runtime.restart`)"""
        self.check_open()
        await self._to_the_end(self._restart(self._launched(name)))

    async def _restart(self, replicas: Sequence[Supervisor]) -> None:
        if disabled := [plugin for plugin in replicas if plugin.state is State.DISABLED]:
            raise disabled[0].not_running()
        for plugin in replicas:
            plugin.comes_back = True
        try:
            async with asyncio.TaskGroup() as group:
                for plugin in replicas:
                    group.create_task(plugin.stop())
            for plugin in replicas:
                if plugin.state is State.DISABLED:  # by somebody else, meanwhile
                    raise plugin.not_running()
            await self._start_again(replicas)
        finally:
            for plugin in replicas:
                plugin.comes_back = False

    async def _start_again(self, replicas: Sequence[Supervisor]) -> None:
        for plugin in replicas:
            await plugin.ended()
            self.check_open()
            plugin.start()
        await self._all_started(replicas)

    async def replace(
        self,
        name: str,
        source: PluginSource | None = None,
        *,
        drain_time: float = DRAIN_TIME,
        same_services: bool = True,
    ) -> PluginHandle:
        """Put a new process in the place of a launched plugin, while calls go on. (`Runtime.replace`)"""
        self.check_open()
        old = self._launched(name)
        launch = old[0].launch if source is None else as_launch(self._prepared(source), name)
        if not isinstance(source, Launch):
            launch = launch.granted_as(old[0].launch)
        if launch.detached and old[0].launch.detached:
            raise ConfigError(
                f"plugin {name!r} is detached, and no other process can take its place while it runs: end it and start "
                f"it anew (restart), and give a changed configuration to the next runtime"
            )
        new = self._replicas(launch)
        try:
            await replace(
                self._registry,
                old,
                new,
                drain_time=drain_time,
                same_services=same_services,
                to_the_end=self._to_the_end,
            )
        except PluginError:
            self.check_open()
            raise
        return new[0]

    async def configure(self, name: str, configuration: Configurable) -> None:
        """Change the configuration of a plugin. (`Runtime.configure`)"""
        change = reconfigure(
            self._reception.configurations, self._registry.named(name), configuration, lambda: self.replace(name)
        )
        await self._to_the_end(change)

    def _launched(self, name: str) -> list[Supervisor]:
        launched = [plugin for plugin in self._registry.named(name) if isinstance(plugin, Supervisor)]
        if not launched:
            raise PluginError(name, PluginCause.NOT_LAUNCHED, "it was not launched by this runtime")
        return launched


def _tell_of_failure(task: asyncio.Task[Any]) -> None:
    """Tell the log what nobody is left to be told."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("what was asked of a plugin has failed, and who asked has left: %s", error)
