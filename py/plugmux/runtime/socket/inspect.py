"""The runtime's own service for those who watch: plugins, their calls as they happen, and the links."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from plugmux_proto.plugmux.v1 import inspect_pb2 as pb
from plugmux_proto.plugmux.v1.inspect_connect import InspectService

from ...connect import Code, RpcError
from ...contract.version import VERSION
from ...errors import PlugmuxError
from ...yamux.frame import MAX_WINDOW
from ..calls.breaker import Circuit
from ..health.policy import Health
from ..inspect.call import CallRecord, MethodCalls
from ..inspect.observer import CallObserver
from ..inspect.resources import ProcessResources, Resources
from ..settings import SocketUse
from .app import CLOSED
from .management import as_rpc_errors

if TYPE_CHECKING:
    from plugmux_proto.google.protobuf.timestamp_pb2 import Timestamp

    from ...connect import Context
    from ...link.link import Link
    from ...yamux.state import Stream
    from ..plugin import PluginHandle, PluginRecord
    from ..registrar import Registrar
    from ..registry import Registry

__all__ = ["Inspect", "Replacing"]

MIN_INTERVAL, DEFAULT_INTERVAL, MAX_INTERVAL = 0.1, 1.0, 60.0
"""Seconds between two reports."""

MAX_CALLS = 500
MAX_STREAMS = 1000
PING_TIME = 1.0
"""Seconds that a plugin has to answer a ping, before its round trip is left out."""


class Replacing(Protocol):
    """The runtime whose plugins are replaced."""

    async def replace(self, name: str) -> PluginHandle: ...


class Inspect(InspectService):
    """Shows what a runtime, its plugins and their calls do.

    Args:
        runtime: replaces plugins.
        registry: the plugins.
        registrar: what the host tells of itself, and what its sockets may be used for.
        observer: counts the calls.
    """

    def __init__(self, runtime: Replacing, registry: Registry, registrar: Registrar, observer: CallObserver) -> None:
        self._runtime = runtime
        self._registry = registry
        self._host = registrar.host
        self._open = registrar.permissions.socket
        self._observer = observer
        self._resources = ProcessResources()
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End every watch."""
        self._closed.set()

    async def watch(self, request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.WatchResponse]:
        self._check_open("observe")
        interval = DEFAULT_INTERVAL
        if request.HasField("interval"):
            interval = request.interval.seconds + request.interval.nanos / 1e9
            interval = min(max(interval, MIN_INTERVAL), MAX_INTERVAL)
        watched = _Watched(self._observer, min(request.max_calls, MAX_CALLS))
        with self._observer.watch():
            while not self._closed.is_set():
                yield self._report(watched)
                with suppress(TimeoutError):
                    async with asyncio.timeout(interval):
                        await self._closed.wait()

    def _report(self, watched: _Watched) -> pb.WatchResponse:
        plugins = self._registry.sorted()
        calls, left_out = watched.calls()
        report = pb.WatchResponse(
            host=pb.HostStatus(
                name=self._host.name, version=self._host.version, pid=os.getpid(), plugmux_version=VERSION
            ),
            plugins=self._statuses(plugins),
            methods=[_method(sums) for sums in watched.changed()],
            calls=[_call(record) for record in calls],
            calls_left_out=left_out,
        )
        report.time.FromNanoseconds(time.time_ns())
        _tell(report.host, self._resources.of(os.getpid()))
        self._resources.forget_others({os.getpid(), *(plugin.pid for plugin in plugins if plugin.pid)})
        return report

    def _statuses(self, plugins: Sequence[PluginRecord]) -> Iterator[pb.PluginStatus]:
        last, replica = None, 0
        for plugin in plugins:
            last, replica = plugin.name, replica + 1 if plugin.name == last else 0
            status = pb.PluginStatus(
                name=plugin.name,
                version=plugin.version,
                state=plugin.state.value,
                health="" if plugin.health is Health.UNKNOWN else plugin.health.value,
                status=plugin.status,
                pid=plugin.pid or 0,
                restarts=plugin.restarts,
                in_flight=plugin.in_flight,
                calls=plugin.calls,
                circuit=(Circuit.CLOSED if plugin.breaker is None else plugin.breaker.circuit).value,
                external=plugin.external,
                services=() if plugin.registration is None else plugin.registration.services,
                replica=replica,
            )
            _set_time(status.since, plugin.since)
            if plugin.pid is not None:
                _tell(status, self._resources.of(plugin.pid))
            if plugin.link is not None and not plugin.link.closed:
                status.streams = len(plugin.link.mux.streams)
                status.held_bytes = plugin.link.mux.held
            yield status

    async def get_link(self, request: pb.GetLinkRequest, context: Context) -> pb.GetLinkResponse:
        self._check_open("observe")
        with as_rpc_errors():
            replicas = self._registry.named(request.plugin)
        if request.replica >= len(replicas):
            raise RpcError(Code.NOT_FOUND, f"plugin {request.plugin!r} has {len(replicas)} replicas")
        link = replicas[request.replica].link
        if link is None or link.closed:
            raise RpcError(Code.FAILED_PRECONDITION, str(replicas[request.replica].not_running()))
        streams = list(link.mux.streams)
        response = pb.GetLinkResponse(
            open=len(streams),
            streams=[_stream(stream) for stream in streams[:MAX_STREAMS]],
            held_bytes=link.mux.held,
            max_held_bytes=link.mux.config.max_link_memory,
        )
        response.round_trip_us = await _round_trip(link)
        return response

    async def replace_plugin(self, request: pb.ReplacePluginRequest, context: Context) -> pb.ReplacePluginResponse:
        self._check_open("manage")
        with as_rpc_errors():
            await self._runtime.replace(request.name)
        return pb.ReplacePluginResponse()

    def _check_open(self, use: SocketUse) -> None:
        if use not in self._open:
            raise RpcError(Code.PERMISSION_DENIED, CLOSED.format(use))


class _Watched:
    """What one watcher has been told already."""

    def __init__(self, observer: CallObserver, max_calls: int) -> None:
        self._observer = observer
        self._max_calls = max_calls
        self._ended = observer.ended
        self._told: dict[int, tuple[int, int]] = {}

    def calls(self) -> tuple[list[CallRecord], int]:
        """The calls to tell now, and how many others have ended."""
        before, self._ended = self._ended, self._observer.ended
        found = self._observer.samples_since(before, self._max_calls)
        return found, self._ended - before - len(found)

    def changed(self) -> Iterator[MethodCalls]:
        """The sums that are not as they were when this was called last."""
        for sums in self._observer.methods.values():
            now = sums.calls, sums.in_flight
            if self._told.get(id(sums)) != now:
                self._told[id(sums)] = now
                yield sums


def _tell(status: pb.HostStatus | pb.PluginStatus, resources: Resources | None) -> None:
    if resources is not None:
        status.resources.cpu_seconds = resources.cpu_seconds
        status.resources.memory_bytes = resources.memory_bytes
        status.resources.threads = resources.threads


def _method(sums: MethodCalls) -> pb.MethodCalls:
    return pb.MethodCalls(
        caller=sums.caller,
        callee=sums.callee,
        method=sums.method,
        calls=sums.calls,
        errors=sums.errors,
        in_flight=sums.in_flight,
        request_bytes=sums.request_bytes,
        response_bytes=sums.response_bytes,
        seconds=sums.seconds,
        latency=sums.latencies.shortened(),
        codes=sums.codes,
    )


def _call(record: CallRecord) -> pb.CallRecord:
    call = pb.CallRecord(
        number=record.number,
        caller=record.of.caller,
        callee=record.of.callee,
        method=record.of.method,
        duration_us=int(record.duration * 1e6),
        code=record.code,
        message=record.message,
        request_bytes=record.request_bytes,
        response_bytes=record.response_bytes,
        stream=record.stream,
    )
    _set_time(call.time, record.time)
    return call


def _set_time(timestamp: Timestamp, seconds: float) -> None:
    """Set a time that is not before the epoch. `FromNanoseconds` takes most of the time that a report takes."""
    timestamp.seconds = whole = int(seconds)
    timestamp.nanos = int((seconds - whole) * 1e9)


def _stream(stream: Stream) -> pb.LinkStream:
    return pb.LinkStream(
        id=stream.id,
        opened_by_plugin=stream.id % 2 == 1,
        handshake=stream.handshake.name.lower().replace("_", " "),
        sending=stream.sending.name.lower(),
        receiving=stream.receiving.name.lower(),
        send_window=min(stream.send_window, MAX_WINDOW),
        receive_window=stream.receive_window,
        window=stream.window,
        pending_bytes=stream.pending_size,
        held_bytes=stream.held,
    )


async def _round_trip(link: Link) -> int:
    """Microseconds that a ping takes; 0 where it is not answered in time."""
    try:
        async with asyncio.timeout(PING_TIME):
            return max(int(await link.ping() * 1e6), 1)
    except (TimeoutError, PlugmuxError):
        return 0
