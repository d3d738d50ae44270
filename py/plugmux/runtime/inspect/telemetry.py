"""The plugins of a runtime as OpenTelemetry's observable instruments. Needs `plugmux[opentelemetry]`.

    plugmux.plugin.up         gauge                 1 while the plugin can be called, else 0
    plugmux.plugin.circuit    gauge                 0 closed, 1 half open, 2 open
    plugmux.plugin.restarts   counter               how often it was started again
    plugmux.plugin.in_flight  up-down counter       calls under way
    plugmux.plugin.streams    up-down counter       streams that are open on its link

Each has the attribute `plugmux.plugin.name`. Replicas are added up; of `up` and `circuit` the highest value counts.
They are read when the SDK collects, and cost nothing in between. Calls are measured by `plugmux.connect.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from ..calls.breaker import Circuit
from ..plugin import PluginHandle

__all__ = ["observe_plugins"]

CIRCUITS = {Circuit.CLOSED: 0, Circuit.HALF_OPEN: 1, Circuit.OPEN: 2}


class Observing(Protocol):
    """The runtime whose plugins are observed."""

    def plugins(self) -> Sequence[PluginHandle]: ...


def observe_plugins(runtime: Observing, meter: Meter | None = None) -> None:
    """Let OpenTelemetry observe the plugins of a runtime, for as long as the process lives.

    Args:
        runtime: the runtime; it may be started later, and closed.
        meter: makes the instruments; by default the meter of the global provider.
    """
    meter = meter or metrics.get_meter("plugmux.runtime")

    def observe(
        value: Callable[[PluginHandle], int], join: Callable[[Iterable[int]], int] = sum
    ) -> list[Callable[[CallbackOptions], Iterable[Observation]]]:
        def read(options: CallbackOptions) -> Iterable[Observation]:
            values: dict[str, list[int]] = {}
            for plugin in runtime.plugins():
                values.setdefault(plugin.name, []).append(value(plugin))
            return [Observation(join(those), {"plugmux.plugin.name": name}) for name, those in values.items()]

        return [read]

    about: Any = {"description": "Whether the plugin can be called."}
    meter.create_observable_gauge("plugmux.plugin.up", observe(lambda plugin: int(plugin.ready), max), **about)
    about = {"description": "The plugin's circuit breaker: 0 closed, 1 half open, 2 open."}
    meter.create_observable_gauge(
        "plugmux.plugin.circuit", observe(lambda plugin: CIRCUITS[plugin.circuit], max), **about
    )
    about = {"unit": "{restart}", "description": "How often the plugin was started again."}
    meter.create_observable_counter("plugmux.plugin.restarts", observe(lambda plugin: plugin.restarts), **about)
    about = {"unit": "{call}", "description": "Calls under way on the plugin."}
    meter.create_observable_up_down_counter(
        "plugmux.plugin.in_flight", observe(lambda plugin: plugin.in_flight), **about
    )
    about = {"unit": "{stream}", "description": "Streams that are open on the plugin's link."}
    meter.create_observable_up_down_counter("plugmux.plugin.streams", observe(_streams), **about)


def _streams(plugin: PluginHandle) -> int:
    return 0 if plugin.link is None or plugin.link.closed else len(plugin.link.mux.streams)
