"""Which of several replicas is called.

On one machine all replicas are alike: the one with the fewest calls in flight is called. Over a network they are not,
and a caller sees only its own calls. So two are drawn, and the one that is less loaded is called: with fewer calls in
flight, each weighed by how long answers took lately (the power of two choices). A replica that fails while others do
not is left alone for a while. SRV records give priorities and weights (RFC 2782): those of the lowest priority are
called as long as one of them can be, and each is drawn as often as its weight says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

from ..plugin import PluginRecord

__all__ = ["Balancer"]

FAILURES = 3
"""Failures in a row after which a replica is left alone."""

FIRST_EJECTION = 5.0
MAX_EJECTION = 60.0
"""Seconds for which it is left alone the first time, and at most; each further time is twice as long."""

WEIGHT = 0.2
"""The share of the last answer in the latency that is remembered."""

LEAST_LATENCY = 0.001
"""Seconds below which answers do not differ: on a network that is noise."""


SMALL_WEIGHT = 0.1
"""What a weight of 0 counts: a small chance beside others, an equal one among its like."""


class _Load:
    """What is remembered of one replica."""

    __slots__ = ("ejected_until", "ejections", "failures", "latency")

    def __init__(self) -> None:
        self.latency = 0.0
        self.failures = 0
        self.ejections = 0
        self.ejected_until = 0.0


class Balancer:
    """Chooses among replicas.

    Args:
        chance: gives numbers from 0 up to 1.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._loads: WeakKeyDictionary[PluginRecord, _Load] = WeakKeyDictionary()

    def choose(self, able: Sequence[PluginRecord], failed: PluginRecord | None, now: float) -> PluginRecord:
        """The replica to call.

        Args:
            able: those that can be called, at least one.
            failed: the one that this very call has failed on before; it is called again only if there is no other.
            now: the time.
        """

        def rank(plugin: PluginRecord) -> tuple[bool, bool, int]:
            return plugin is failed, not plugin.health.takes_calls, plugin.in_flight

        if all(plugin.peer is None for plugin in able):
            return min(able, key=rank)
        fit = [plugin for plugin in able if plugin is not failed and plugin.health.takes_calls]
        fit = [plugin for plugin in fit if self._load(plugin).ejected_until <= now] or fit
        if len(fit) <= 1:
            return fit[0] if fit else min(able, key=rank)
        lowest = min(plugin.priority for plugin in fit)
        fit = [plugin for plugin in fit if plugin.priority == lowest]
        first = self._draw(fit)
        if len(fit) == 1:
            return first
        second = self._draw([plugin for plugin in fit if plugin is not first])
        return min(first, second, key=self._weighed)

    def _draw(self, fit: Sequence[PluginRecord]) -> PluginRecord:
        """One of several, each as often as its weight says."""
        left = self._chance() * sum(_weight(plugin) for plugin in fit)
        for plugin in fit:
            left -= _weight(plugin)
            if left < 0:
                return plugin
        return fit[-1]

    def _weighed(self, plugin: PluginRecord) -> float:
        return (plugin.in_flight / _weight(plugin) + 1) * max(self._load(plugin).latency, LEAST_LATENCY)

    def _load(self, plugin: PluginRecord) -> _Load:
        load = self._loads.get(plugin)
        if load is None:
            load = self._loads[plugin] = _Load()
        return load

    def answered(self, plugin: PluginRecord, seconds: float) -> None:
        """Note that a replica has answered, and after how long."""
        load = self._load(plugin)
        load.latency += (seconds - load.latency) * (WEIGHT if load.latency else 1.0)
        load.failures = load.ejections = 0

    def failed(self, plugin: PluginRecord, now: float) -> None:
        """Note that a replica has not answered; it is left alone if that goes on."""
        load = self._load(plugin)
        load.failures += 1
        if load.failures >= FAILURES:
            load.ejected_until = now + min(FIRST_EJECTION * 2.0**load.ejections, MAX_EJECTION)
            load.ejections = min(load.ejections + 1, 10)
            load.failures = 0


def _weight(plugin: PluginRecord) -> float:
    return plugin.weight or SMALL_WEIGHT
