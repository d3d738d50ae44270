"""The metrics of a runtime: its plugins as they stand, and the sums of its calls.

Every call is counted and timed from the first scrape on, until the runtime closes: whoever never scrapes does not pay
for it. The states of plugins, their restarts and the number of their calls are known whether anybody scrapes or not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import TYPE_CHECKING

from ...contract.version import VERSION
from ..calls.breaker import Circuit
from ..state import State
from .exposition import Family, Labels, exposition
from .latency import BUCKETS, Latencies, lower_bound
from .observer import OTHER, CallObserver
from .resources import ProcessResources, Resources

if TYPE_CHECKING:
    from ..plugin import PluginRecord
    from ..registry import Registry
    from ..settings import Host
    from .call import MethodCalls

__all__ = ["RuntimeMetrics"]

MAX_SERIES = 500
"""Pairs of caller and callee with their methods that have series of their own; the calls of the others are one."""

_EDGES = tuple(1 + 4 * octave for octave in (6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 22, 24))
BOUNDS = tuple(lower_bound(edge) for edge in _EDGES)
"""Upper bounds of the buckets of durations, in seconds: 64 us to 17 s."""


class RuntimeMetrics:
    """Gives the metrics of a runtime to those who scrape it.

    Args:
        registry: the plugins.
        host: what the host tells of itself.
        observer: counts the calls.
    """

    def __init__(self, registry: Registry, host: Host, observer: CallObserver) -> None:
        self._registry = registry
        self._host = host
        self._observer = observer
        self._resources = ProcessResources()
        self._watching = ExitStack()
        self._scraped = False

    def close(self) -> None:
        """Count no longer."""
        self._watching.close()

    def scrape(self) -> bytes:
        """The metrics as they stand, in Prometheus' text format."""
        if not self._scraped:
            self._scraped = True
            self._watching.enter_context(self._observer.watch(time_all=True))
        return exposition([*self._of_runtime(), *self._of_plugins(), *self._of_calls()])

    def _of_runtime(self) -> Iterator[Family]:
        info = Family("plugmux_runtime_info", "gauge", "The runtime, by its name and versions.")
        info.add((("name", self._host.name), ("version", self._host.version), ("plugmux_version", VERSION)), 1)
        cpu = Family("plugmux_runtime_cpu_seconds_total", "counter", "Processor time of the runtime's process.")
        memory = Family("plugmux_runtime_memory_bytes", "gauge", "Resident memory of the runtime's process.")
        _add_resources(cpu, memory, (), self._resources.of(os.getpid()))
        return iter((info, cpu, memory))

    def _of_plugins(self) -> Iterator[Family]:
        up = Family("plugmux_plugin_up", "gauge", "Whether the plugin runs and can be called.")
        healthy = Family("plugmux_plugin_healthy", "gauge", "Whether the plugin's health lets it take calls.")
        circuit = Family("plugmux_plugin_circuit_state", "gauge", "Which state the plugin's circuit breaker is in.")
        restarts = Family("plugmux_plugin_restarts_total", "counter", "How often the plugin was started again.")
        sent = Family("plugmux_plugin_calls_total", "counter", "Calls sent to the plugin, repeated ones too.")
        in_flight = Family("plugmux_plugin_calls_in_flight", "gauge", "Calls under way on the plugin.")
        streams = Family("plugmux_plugin_streams", "gauge", "Streams that are open on the plugin's link.")
        held = Family("plugmux_plugin_held_bytes", "gauge", "Bytes that the runtime holds for the plugin's link.")
        cpu = Family("plugmux_plugin_cpu_seconds_total", "counter", "Processor time of the plugin's process.")
        memory = Family("plugmux_plugin_memory_bytes", "gauge", "Resident memory of the plugin's process.")
        plugins = self._registry.sorted()
        for plugin, labels in _numbered(plugins):
            up.add(labels, plugin.ready)
            healthy.add(labels, plugin.state is State.RUNNING and plugin.health.takes_calls)
            now = Circuit.CLOSED if plugin.breaker is None else plugin.breaker.circuit
            for state in Circuit:
                circuit.add((*labels, ("state", state.value)), state is now)
            restarts.add(labels, plugin.restarts)
            sent.add(labels, plugin.calls)
            in_flight.add(labels, plugin.in_flight)
            if plugin.link is not None and not plugin.link.closed:
                streams.add(labels, len(plugin.link.mux.streams))
                held.add(labels, plugin.link.mux.held)
            if plugin.pid is not None:
                _add_resources(cpu, memory, labels, self._resources.of(plugin.pid))
        self._resources.forget_others({os.getpid(), *(plugin.pid for plugin in plugins if plugin.pid)})
        return iter((up, healthy, circuit, restarts, sent, in_flight, streams, held, cpu, memory))

    def _of_calls(self) -> Iterator[Family]:
        seconds = Family(
            "plugmux_call_duration_seconds", "histogram", "How long calls took, by caller, callee and method."
        )
        errors = Family("plugmux_call_errors_total", "counter", "Calls that failed, by the code of their error.")
        sums = list(self._observer.methods.values())
        for each in sums[:MAX_SERIES]:
            labels = (("caller", each.caller), ("callee", each.callee), ("method", each.method))
            _add_calls(seconds, errors, labels, [each])
        if len(sums) > MAX_SERIES:
            _add_calls(seconds, errors, (("caller", OTHER), ("callee", OTHER), ("method", OTHER)), sums[MAX_SERIES:])
        return iter((seconds, errors))


def _numbered(plugins: Sequence[PluginRecord]) -> Iterator[tuple[PluginRecord, Labels]]:
    """The plugins, and their labels: of replicas each has its number."""
    last, replica = None, 0
    for plugin in plugins:
        last, replica = plugin.name, replica + 1 if plugin.name == last else 0
        yield plugin, (("plugin", plugin.name), ("replica", str(replica)))


def _add_resources(cpu: Family, memory: Family, labels: Labels, used: Resources | None) -> None:
    if used is not None:
        cpu.add(labels, used.cpu_seconds)
        memory.add(labels, used.memory_bytes)


def _add_calls(seconds: Family, errors: Family, labels: Labels, sums: Sequence[MethodCalls]) -> None:
    """Add what these calls come to together."""
    latencies, codes = Latencies(), dict[str, int]()
    for each in sums:
        latencies[:] = map(int.__add__, latencies, each.latencies)
        for code, count in each.codes.items():
            codes[code] = codes.get(code, 0) + count
    edges = (0, *_EDGES, BUCKETS)
    counts = [sum(latencies[low:high]) for low, high in pairwise(edges)]
    seconds.add_histogram(labels, BOUNDS, counts, sum(each.seconds for each in sums))
    for code, count in sorted(codes.items()):
        errors.add((*labels, ("code", code)), count)
