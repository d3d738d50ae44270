"""Begins, switches, replaces and ends the plugins of a runtime."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..aio.closing import end_within
from ..aio.gather import gather
from ..contract.registration import RegistrationRefused
from ..errors import ConfigError, PluginCause, PluginError, StateError
from ..link.servable import Servable
from .plugin import PluginRecord
from .source import Launch, PluginSource, Source, as_source, finds_plugins, the_one
from .state import State
from .supervisor import Supervisor

if TYPE_CHECKING:
    from .changes.configuration import Configurable
    from .registrar import Registrar
    from .registry import Registry
    from .remote.group import RemoteGroup
    from .source import Found

__all__ = ["Lifecycle"]

logger = logging.getLogger("plugmux.runtime")

Returned = TypeVar("Returned")


class Lifecycle:
    """Begins and ends the plugins of a runtime.

    Args:
        registry: has them.
        registrar: what they are offered.
    """

    def __init__(self, registry: Registry, registrar: Registrar) -> None:
        self._registry = registry
        self._registrar = registrar
        registrar.logs.on_refused = registry.refused
        self._policies = registrar.policies
        self._starts = asyncio.Semaphore(self._policies.parallel_starts or 2 * (os.cpu_count() or 1))
        self._configuring = asyncio.Lock()
        self._closed = False
        self._operations: set[asyncio.Task[Any]] = set()
        self._watching: list[asyncio.Task[None]] = []
        self._groups: list[RemoteGroup] = []

    async def close(self) -> None:
        """End all plugins in parallel; from now on none is started."""
        self._closed = True
        if self._watching and await end_within(0, self._watching):
            logger.error("the plugin directories are still being looked through, although that was cancelled")
        await asyncio.gather(*(group.close() for group in self._groups))
        ends = (plugin.owner.leave() for plugin in self._registry.all())
        for error in await asyncio.gather(*ends, return_exceptions=True):
            if error is not None:
                logger.error("the end of a plugin has failed", exc_info=error)
        if self._operations:
            await asyncio.wait(self._operations)

    def check_open(self) -> None:
        """Check that plugins may be started.

        Raises:
            StateError: the runtime has been closed.
        """
        if self._closed:
            raise StateError("the runtime has been closed; make a new one")

    async def _to_the_end(self, operation: Coroutine[Any, Any, Returned]) -> Returned:
        """Do what must not stop half-way, even if the caller is cancelled; `close` waits for it."""
        task = asyncio.create_task(operation)
        self._operations.add(task)
        task.add_done_callback(self._operations.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_of_failure)
            raise

    async def start(
        self, sources: Iterable[Launch | Source | Servable], listen: Callable[[], Awaitable[None]] | None
    ) -> None:
        """Begin the plugins of a runtime, and follow the sources that find them. (`Runtime.start`)

        Args:
            sources: what to run.
            listen: begins to listen; called when the plugins that may decide on access run or have failed.

        Raises:
            ConfigError: a name is taken, or an object cannot be a plugin.
            PluginError: a required plugin does not run.
        """
        found: list[tuple[Source, Sequence[Found]]] = []
        plugins: list[Launch | Servable] = []
        for source in sources:
            if finds_plugins(source):
                found.append((source, source.find()))
            else:
                plugins.append(cast("Launch | Servable", source))
        plugins += [plugin.launch for _, those in found for plugin in those]
        access_control = self._registrar.permissions.access_control
        early = [_goes_first(plugin, access_control) for plugin in plugins]
        await self._begin(plugin for plugin, first in zip(plugins, early, strict=True) if first)
        if listen is not None:
            await listen()
        await self._begin(plugin for plugin, first in zip(plugins, early, strict=True) if not first)
        self.check_open()
        for source, those in found:
            if source.watch:
                self._follow(source, those)

    async def _begin(self, sources: Iterable[Launch | Servable]) -> None:
        """Begin plugins that are kept, whether they run or have failed, in parallel.

        Raises:
            ConfigError: a name is taken, or an object cannot be a plugin.
            PluginError: a required plugin does not run.
        """
        await gather(
            self._begin_launch(source) if isinstance(source, Launch) else self._begin_in_process(source)
            for source in sources
        )

    async def launch(self, source: PluginSource, name: str | None) -> PluginRecord:
        """Begin a plugin that stays if it runs. (`Runtime.launch`)"""
        prepared = _prepared(source)
        if not isinstance(prepared, Launch):
            return await self._begin_in_process(prepared, name)
        replicas = self._add(prepared)
        try:
            await self._all_started(replicas)
        except BaseException:
            await self._to_the_end(self._dismiss(replicas))
            raise
        return self._registry.named(prepared.name)[0]

    async def _begin_launch(self, launch: Launch) -> None:
        if getattr(launch.runner, "follows", False):
            await self._begin_group(launch)
            return
        replicas = self._add(launch)
        for plugin in replicas:
            await plugin.started()
        if launch.required:
            for plugin in replicas:
                if not plugin.record.ready and not self._closed:
                    raise plugin.record.not_running()

    async def _begin_group(self, launch: Launch) -> None:
        """Begin a plugin that has as many replicas as a name in the network has addresses."""
        from .remote.group import RemoteGroup

        self._check_name(launch.name)
        group = RemoteGroup(launch, self._registry, launch.policies or self._policies, self._replicas)
        self._groups.append(group)
        await group.start()
        if launch.required and not self._closed:
            group.check_running()

    def _check_name(self, name: str) -> None:
        self.check_open()
        if name in self._registry:
            raise ConfigError(f"there is a plugin named {name!r} already: give this one another name")

    def _add(self, launch: Launch) -> list[Supervisor]:
        self._check_name(launch.name)
        replicas = self._replicas(launch)
        for plugin in replicas:
            self._registry.add(plugin.record)
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
            if not plugin.record.ready and not self._registry.has_in_place_of(plugin.record):
                raise plugin.record.not_running()

    async def _dismiss(self, plugins: Sequence[Supervisor]) -> None:
        for plugin in plugins:
            await plugin.stop()
            self._registry.remove(plugin.record)

    def _replicas(self, launch: Launch) -> list[Supervisor]:
        policies, starts = launch.policies or self._policies, self._starts
        if launch.runner is not None and launch.runner.untimed:
            policies, starts = policies.untimed(), asyncio.Semaphore(launch.replicas)
        if getattr(launch.runner, "elsewhere", False):
            from .remote.supervisor import RemoteSupervisor

            return [RemoteSupervisor(launch, self._registrar, policies)]
        kind: type[Supervisor] = Supervisor
        if launch.runner is not None and launch.runner.address:
            from .remote.joined import JoinedSupervisor

            kind = JoinedSupervisor
        return [kind(launch, self._registrar, policies, starts) for _ in range(launch.replicas)]

    async def _begin_in_process(self, servable: Servable, name: str | None = None) -> PluginRecord:
        from .external import InProcessPlugin

        self.check_open()
        plugin = InProcessPlugin(servable, name or type(servable).__name__, "v0.0.0", self._registrar, self._registry)
        try:
            await plugin.start()
        except RegistrationRefused as error:
            raise ConfigError(f"{type(servable).__name__} cannot be a plugin: {error}") from error
        self.check_open()
        return plugin.record

    def _follow(self, source: Source, found: Iterable[Found]) -> None:
        """Keep to what a source finds, until the runtime closes.

        Args:
            source: it is asked again and again.
            found: what it found first, which has been begun.
        """
        from .changes.watch import watch

        following = watch(
            source,
            found,
            add=self._begin_launch,
            replace=lambda launch: self.replace(launch.name, launch),
            remove=self._remove,
        )
        self._watching.append(asyncio.create_task(following, name=f"plugmux: {source!r}"))

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
        if disabled := [plugin for plugin in replicas if plugin.record.state is State.DISABLED]:
            raise disabled[0].record.not_running()
        for plugin in replicas:
            plugin.record.comes_back = True
        try:
            async with asyncio.TaskGroup() as group:
                for plugin in replicas:
                    group.create_task(plugin.stop())
            for plugin in replicas:
                if plugin.record.state is State.DISABLED:  # by somebody else, meanwhile
                    raise plugin.record.not_running()
            await self._start_again(replicas)
        finally:
            for plugin in replicas:
                plugin.record.comes_back = False

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
        drain_time: float | None = None,
        same_services: bool = True,
    ) -> PluginRecord:
        """Put a new process in the place of a launched plugin, while calls go on. (`Runtime.replace`)"""
        from .changes.replace import replace

        self.check_open()
        old = self._launched(name)
        launch = old[0].launch if source is None else _as_launch(_prepared(source), name)
        if not isinstance(source, Launch):
            launch = launch.granted_as(old[0].launch)
        if launch.single_instance and old[0].launch.single_instance:
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
                drain_time=self._policies.timeouts.replacement if drain_time is None else drain_time,
                same_services=same_services,
                to_the_end=self._to_the_end,
            )
        except PluginError:
            self.check_open()
            raise
        return new[0].record

    async def configure(self, name: str, configuration: Configurable) -> None:
        """Change the configuration of a plugin. (`Runtime.configure`)"""
        await self._to_the_end(self._configure(name, configuration))

    async def _configure(self, name: str, configuration: Configurable) -> None:
        from .changes.configuration import reconfigure

        self._registry.named(name)
        async with self._configuring:
            await reconfigure(
                self._registrar.configurations,
                lambda: self._registry.named(name),
                configuration,
                lambda: self.replace(name),
            )

    def _launched(self, name: str) -> list[Supervisor]:
        owners = [plugin.owner for plugin in self._registry.named(name)]
        launched = [owner for owner in owners if isinstance(owner, Supervisor)]
        if not launched:
            raise PluginError(name, PluginCause.NOT_LAUNCHED, "it was not launched by this runtime")
        return launched


def _tell_of_failure(task: asyncio.Task[Any]) -> None:
    """Log a failure whose caller has left."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("a change of a plugin failed after its caller had left: %s", error)


def _prepared(source: PluginSource) -> Launch | Servable:
    """Read what is to be one plugin."""
    prepared = as_source(source)
    return the_one(prepared) if finds_plugins(prepared) else cast("Launch | Servable", prepared)


def _goes_first(source: Launch | Servable, access_control: Collection[str]) -> bool:
    """Whether a plugin is started before the runtime listens: it may decide on access, or needs no start.

    Args:
        source: the plugin.
        access_control: the names in `Permissions.access_control`.
    """
    return not isinstance(source, Launch) or source.decides_on_access or source.name in access_control


def _as_launch(source: Launch | Servable, name: str) -> Launch:
    """The launch of a plugin that takes the place of another.

    Args:
        source: what the new one is.
        name: the name of the other, which it is to have.

    Raises:
        ConfigError: it is not launched.
    """
    if not isinstance(source, Launch):
        raise ConfigError(
            f"{source!r} cannot take the place of plugin {name!r}: give a path, an argument list or a Launch"
        )
    return replace(source, name=name)
