"""The table of `plugmux top`: its columns, its order, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .rates import MethodRow, PluginRow, Rates

__all__ = ["METHODS", "PLUGINS", "SORTS", "View", "lines", "rows", "summary"]

PLUGINS = ("PLUGIN", "STATE", "CALLS/S", "ERR/S", "P50", "P99", "BUSY", "STREAMS", "RESTARTS", "CPU", "MEMORY", "SINCE")
METHODS = ("CALLER", "CALLEE", "METHOD", "CALLS/S", "ERR/S", "P50", "P99", "BUSY")
TO_THE_LEFT = frozenset({"PLUGIN", "STATE", "CALLER", "CALLEE", "METHOD"})


@dataclass(frozen=True, slots=True)
class View:
    """What a person has chosen to see.

    Args:
        sort: the key of `SORTS` by which rows are ordered.
        methods: whether the methods are shown, in place of the plugins.
    """

    sort: str = "c"
    methods: bool = False


SORTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "n": ("name", lambda row: ()),
    "c": ("calls", lambda row: -row.calls.rate),
    "e": ("errors", lambda row: -row.calls.errors),
    "l": ("latency", lambda row: -(row.calls.p99 or 0)),
    "m": ("memory", lambda row: -(getattr(row, "memory", 0) or 0)),
    "u": ("processor", lambda row: -(getattr(row, "cpu", 0) or 0)),
    "r": ("restarts", lambda row: -getattr(row, "restarts", 0)),
}
"""What rows can be ordered by, and the keys for it. Rows that are equal stand by name."""


def rows(rates: Rates, view: View) -> list[tuple[str, ...]]:
    """The rows of the table, in order, as words."""
    order = SORTS[view.sort][1]
    if view.methods:
        by_name = sorted(rates.methods(), key=lambda row: (row.callee, row.method, row.caller))
        return [_of_method(row) for row in sorted(by_name, key=order)]
    return [_of_plugin(row) for row in sorted(rates.plugins(), key=order)]


def lines(rates: Rates, view: View, width: int) -> list[str]:
    """The table as lines under a head; numbers stand to the right, and nothing is longer than the width."""
    head = METHODS if view.methods else PLUGINS
    table = [head, *rows(rates, view)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [_line(head, row, widths)[:width] for row in table]


def summary(rates: Rates) -> str:
    """One line about the runtime."""
    assert rates.last is not None
    host, total = rates.last.host, rates.total
    plugins = rates.plugins()
    running = sum(row.state.startswith("running") for row in plugins)
    return (
        f"{host.name} {host.version} (process {host.pid})  {running}/{len(plugins)} plugins run  "
        f"{_rate(total.rate)} calls/s  {_rate(total.errors)} errors/s  p99 {_time(total.p99)}{_sample(total.timed)}  "
        f"cpu {_share(rates.host_cpu)}  memory {_bytes(host.resources.memory_bytes or None)}"
    )


def _sample(timed: float | None) -> str:
    """Says that latencies are those of a sample, where they are."""
    return f" (of 1 call in {1 / timed:.0f})" if timed and timed < 2 / 3 else ""


def _line(head: Sequence[str], row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (
        word.ljust(width) if name in TO_THE_LEFT else word.rjust(width)
        for name, word, width in zip(head, row, widths, strict=True)
    )
    return "  ".join(cells).rstrip()


def _of_plugin(row: PluginRow) -> tuple[str, ...]:
    state = row.state if row.health in ("", "serving") else f"{row.state}, {row.health}"
    if row.circuit not in ("", "closed"):
        state += f", circuit {row.circuit}"
    return (
        row.name,
        state,
        *_of_calls(row),
        str(row.streams),
        str(row.restarts),
        _share(row.cpu),
        _bytes(row.memory),
        _age(row.seconds),
    )


def _of_method(row: MethodRow) -> tuple[str, ...]:
    return (row.caller or "(host)", row.callee or "(host)", row.method, *_of_calls(row))


def _of_calls(row: PluginRow | MethodRow) -> tuple[str, ...]:
    calls = row.calls
    return _rate(calls.rate), _rate(calls.errors), _time(calls.p50), _time(calls.p99), str(row.in_flight)


def _rate(value: float) -> str:
    return "0" if not value else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.0f} %"


def _bytes(size: int | None) -> str:
    if size is None:
        return "-"
    return f"{size / 2**20:.1f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"


def _age(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h" if whole < 86400 else f"{whole // 86400} d"
