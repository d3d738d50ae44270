"""Puts a new process in the place of a launched plugin, while calls go on.

    new    starting ──> checked ──┬──> takes the calls ...
                                  └──> stopped               (it failed: the old one works on)
    old    works ─────────────────┴──> drained ──> stopped

The new one starts on standby, where no call finds it. There it must register, answer `/health` and serve what the old
one serves. Then the registry changes the two in one step: calls that begin find the new one, calls
under way end on the old one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from ...errors import ConfigError, PluginCause, PluginError, PlugmuxError
from ...exchange import Request
from ...link.app import HEALTH
from ...link.link import Link
from ..plugin import PluginRecord
from ..registry import Registry
from ..supervisor import Supervisor

__all__ = ["replace"]

HEALTH_TIMEOUT = 5.0
MAX_HEALTH = 65_536
OK = 200


async def replace(
    registry: Registry,
    old: Sequence[Supervisor],
    new: Sequence[Supervisor],
    *,
    drain_time: float,
    same_services: bool,
    to_the_end: Callable[[Coroutine[Any, Any, None]], Awaitable[None]],
) -> None:
    """Start `new`, check them, let them take the place of `old`, and end those in order.

    Args:
        registry: has `old`, the plugin of one name with its replicas.
        old: what is to go.
        new: what is to come, of the same name; not started yet.
        drain_time: seconds that calls under way on the old ones may still take; what is left then is cut off.
        same_services: whether the new ones must serve all that the old ones do.
        to_the_end: does what must be done whether we are cancelled or not.

    Raises:
        ConfigError: the plugin is being replaced already.
        PluginError: the new ones failed; the old ones work on.

    Cancelling it before the change ends the new ones, after the change it ends the old ones without further waiting.
    """
    name = new[0].record.name
    _check_wanted(old)
    if registry.has_standby(name):
        raise ConfigError(f"plugin {name!r} is being replaced already: wait for the end of that")
    registry.put_on_standby(_records(new))
    try:
        await _start(new)
        for record in _records(new):
            _check_fit(record, _records(old) if same_services else ())
        _check_wanted(old)
        registry.exchange(_records(old), _records(new))
        for record in _records(new):
            record.take_over(old[0].record)
    except BaseException as error:
        await to_the_end(_dismiss(registry, new))
        if isinstance(error, PluginError):
            raise _rolled_back(error) from error
        raise
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_time):
                for plugin in old:
                    await plugin.record.wait_idle()
    finally:
        await to_the_end(_dismiss(registry, old))


async def _start(plugins: Sequence[Supervisor]) -> None:
    for plugin in plugins:
        plugin.start()
    for plugin in plugins:
        await plugin.started()
        if plugin.record.link is None:
            raise plugin.record.not_running()
        await _check_health(plugin.record.name, plugin.record.link)


async def _check_health(name: str, link: Link) -> None:
    request = Request(HEALTH, method="GET", timeout=HEALTH_TIMEOUT)
    try:
        answer = await link.transport.fetch(request, MAX_HEALTH)
    except TimeoutError:
        raise _unfit(name, f"it did not answer {HEALTH} within {HEALTH_TIMEOUT:g} s") from None
    except PlugmuxError as error:
        raise _unfit(name, f"it did not answer {HEALTH}: {error}") from error
    if answer.status != OK:
        raise _unfit(name, f"it answered {HEALTH} with status {answer.status}")


def _check_fit(plugin: PluginRecord, old: Sequence[PluginRecord]) -> None:
    """Check that a plugin can take the calls that the old ones took."""
    if not plugin.ready:
        raise plugin.not_running()
    said = plugin.registration
    for before in (other.registration for other in old):
        if said is None or before is None:
            continue
        missing = [service for service in before.services if service not in said.services]
        if before.secrets_pattern and not said.secrets_pattern:
            missing.append("secrets")
        if before.access_control and not said.access_control:
            missing.append("access control")
        if missing:
            raise _unfit(plugin.name, f"it does not serve {', '.join(missing)} any more")


def _check_wanted(old: Sequence[Supervisor]) -> None:
    """Check that the plugin has not been switched off, before the new one starts or meanwhile."""
    if not all(plugin.wanted for plugin in old):
        raise PluginError(old[0].record.name, PluginCause.DISABLED, "it is disabled, or is being ended")


def _unfit(name: str, detail: str) -> PluginError:
    return PluginError(name, PluginCause.UNFIT, detail)


def _rolled_back(error: PluginError) -> PluginError:
    return PluginError(
        error.plugin,
        error.cause,
        f"the new one was not taken, and the old one stays: {error.detail}",
        exit_code=error.exit_code,
        signal_number=error.signal_number,
        stderr=error.stderr,
    )


async def _dismiss(registry: Registry, plugins: Sequence[Supervisor]) -> None:
    async with asyncio.TaskGroup() as group:
        for plugin in plugins:
            group.create_task(plugin.stop())
    registry.forget(_records(plugins))


def _records(plugins: Sequence[Supervisor]) -> list[PluginRecord]:
    return [plugin.record for plugin in plugins]
