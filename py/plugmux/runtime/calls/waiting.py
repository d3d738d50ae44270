"""Waiting for a plugin that can be called, and the error where none will be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ...aio.race import race
from ...errors import ExchangeError, PluginCause, PluginError
from ..plugin import PluginRecord
from ..state import State

__all__ = ["UNREACHABLE_TIME", "any_changed", "none_reachable"]

UNREACHABLE_TIME = 30.0
"""Seconds that a call without a time limit waits for plugins on other machines that cannot be reached: they are dialled
without end, and a call must not wait that long."""


def none_reachable(replicas: Sequence[PluginRecord]) -> ExchangeError:
    """Why no replica can be called.

    Args:
        replicas: all of them, at least one.
    """
    plugin = next((plugin for plugin in replicas if plugin.ready), replicas[0])
    if plugin.ready:
        error = PluginError(plugin.name, PluginCause.FAILING, "its circuit is open: it failed the last calls")
    else:
        error = plugin.not_running()
    broken = ExchangeError(str(error), sent=False)
    broken.__cause__ = error.brief()
    return broken


async def any_changed(plugins: Sequence[PluginRecord], *, timed: bool) -> None:
    """Wait until one of several plugins is in another state.

    Args:
        plugins: the plugins.
        timed: whether the call has a time limit, which the caller keeps.

    Raises:
        ExchangeError: the call has none, and all are unreachable for too long.
    """
    if timed or any(plugin.state is not State.UNREACHABLE for plugin in plugins):
        await _first_change(plugins)
        return
    try:
        async with asyncio.timeout(UNREACHABLE_TIME):
            await _first_change(plugins)
    except TimeoutError:
        raise none_reachable(plugins) from None


async def _first_change(plugins: Sequence[PluginRecord]) -> None:
    if len(plugins) == 1:
        await plugins[0].changed()
    else:
        await race(*(plugin.changed() for plugin in plugins))
