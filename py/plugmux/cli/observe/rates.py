"""What the reports of a runtime come to: per plugin and method, how much there was between two of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugmux_proto.plugmux.v1.inspect_pb2 import MethodCalls, PluginStatus, WatchResponse

__all__ = ["Calls", "MethodRow", "PluginRow", "Rates"]

CPU_WINDOW = 1_000_000_000
"""Nanoseconds over which the use of a processor is told at least: a runtime reads it about once a second."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls between two reports.

    Args:
        rate: calls that ended, per second.
        errors: those that failed, per second.
        p50: seconds within which half of them ended; `None` without calls.
        p99: seconds within which 99 of 100 ended.
        timed: the share of the calls that were timed, which `p50` and `p99` are of; `None` without calls.
    """

    rate: float
    errors: float
    p50: float | None
    p99: float | None
    timed: float | None


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin, with its replicas.

    Args:
        name: the plugin's name.
        version: the version that it registered with.
        state: the state of all replicas, or of the first and how many there are of it, as `running 2/3`.
        health: its health while it runs.
        circuit: whether its breaker lets calls through.
        calls: the calls of it.
        in_flight: calls that are under way.
        streams: streams that are open on its links.
        restarts: how often it was started again.
        cpu: the share of one processor that it used; `None` where that is not known.
        memory: resident bytes; `None` where that is not known.
        seconds: how long it has been in its state.
        status: why it is in its state.
    """

    name: str
    version: str
    state: str
    health: str
    circuit: str
    calls: Calls
    in_flight: int
    streams: int
    restarts: int
    cpu: float | None
    memory: int | None
    seconds: float
    status: str


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method, by who calls whom; an empty name is the host."""

    caller: str
    callee: str
    method: str
    calls: Calls
    in_flight: int


class Rates:
    """Reads reports one after the other.

    Attributes:
        ready: whether there have been two reports, so that there are rates.
        last: the newest report.
    """

    def __init__(self) -> None:
        self._methods: dict[tuple[str, str, str], MethodCalls] = {}
        self._before: dict[tuple[str, str, str], MethodCalls] = {}
        self._cpu: deque[tuple[int, dict[int, float]]] = deque()  # by the times of the reports, in nanoseconds
        self._elapsed = 0.0
        self.ready = False
        self.last: WatchResponse | None = None

    def feed(self, report: WatchResponse) -> None:
        """Take the next report."""
        if self.last is not None:
            self.ready = True
            self._elapsed = max((report.time.ToNanoseconds() - self.last.time.ToNanoseconds()) / 1e9, 1e-3)
        self._before = dict(self._methods)
        self._methods.update({(each.caller, each.callee, each.method): each for each in report.methods})
        cpu = {each.pid: each.resources.cpu_seconds for each in report.plugins if each.HasField("resources")}
        if report.host.HasField("resources"):
            cpu[report.host.pid] = report.host.resources.cpu_seconds
        now = report.time.ToNanoseconds()
        self._cpu.append((now, cpu))
        while len(self._cpu) > 2 and now - self._cpu[1][0] >= CPU_WINDOW:
            self._cpu.popleft()
        self.last = report

    @property
    def total(self) -> Calls:
        """All calls."""
        return self._calls(self._methods)

    @property
    def host_cpu(self) -> float | None:
        """The share of one processor that the host used."""
        return None if self.last is None else self._used([self.last.host.pid])

    def plugins(self) -> list[PluginRow]:
        """The plugins, sorted by name."""
        replicas: dict[str, list[PluginStatus]] = {}
        for status in self.last.plugins if self.last is not None else ():
            replicas.setdefault(status.name, []).append(status)
        return [self._plugin(name, those) for name, those in replicas.items()]

    def _plugin(self, name: str, replicas: Sequence[PluginStatus]) -> PluginRow:
        assert self.last is not None
        first = replicas[0]
        same = sum(each.state == first.state for each in replicas)
        memory = [each.resources.memory_bytes for each in replicas if each.HasField("resources")]
        return PluginRow(
            name=name,
            version=first.version,
            state=first.state if len(replicas) == 1 else f"{first.state} {same}/{len(replicas)}",
            health=first.health,
            circuit=next((each.circuit for each in replicas if each.circuit != "closed"), first.circuit),
            calls=self._calls(key for key in self._methods if key[1] == name),
            in_flight=sum(each.in_flight for each in replicas),
            streams=sum(each.streams for each in replicas),
            restarts=sum(each.restarts for each in replicas),
            cpu=self._used([each.pid for each in replicas]),
            memory=sum(memory) if memory else None,
            seconds=max((self.last.time.ToNanoseconds() - first.since.ToNanoseconds()) / 1e9, 0.0),
            status=first.status,
        )

    def methods(self) -> list[MethodRow]:
        """The methods that have been called, in the order in which they were first."""
        return [
            MethodRow(*key, calls=self._calls([key]), in_flight=each.in_flight) for key, each in self._methods.items()
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs; times in seconds, memory in bytes."""
        assert self.last is not None
        return {
            "time": self.last.time.ToJsonString(),
            "runtime": {
                "name": self.last.host.name,
                "version": self.last.host.version,
                "pid": self.last.host.pid,
                "cpu": self.host_cpu,
                "memory": self.last.host.resources.memory_bytes or None,
            },
            "plugins": [asdict(row) for row in self.plugins()],
            "methods": [asdict(row) for row in self.methods()],
        }

    def _used(self, pids: Iterable[int]) -> float | None:
        (began, before), (ended, now) = self._cpu[0], self._cpu[-1]
        used = [now[pid] - before[pid] for pid in pids if pid in now and pid in before]
        return sum(used) / ((ended - began) / 1e9) if used and ended > began else None

    def _calls(self, keys: Iterable[tuple[str, str, str]]) -> Calls:
        from ...runtime.inspect.latency import BUCKETS, quantile

        calls = errors = 0
        counts = [0] * BUCKETS
        for key in keys:
            now, before = self._methods[key], self._before.get(key)
            calls += now.calls - (before.calls if before else 0)
            errors += now.errors - (before.errors if before else 0)
            for bucket, count in enumerate(now.latency):
                counts[bucket] += count
            for bucket, count in enumerate(before.latency if before else ()):
                counts[bucket] -= count
        if not self.ready:
            return Calls(0.0, 0.0, None, None, None)
        timed = min(sum(counts) / calls, 1.0) if calls else None
        quantiles = quantile(counts, 0.5), quantile(counts, 0.99)
        return Calls(calls / self._elapsed, errors / self._elapsed, *quantiles, timed)
