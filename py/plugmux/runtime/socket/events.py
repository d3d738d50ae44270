"""The runtime's own service for those who look on: what happens to the plugins, and what they say."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from plugmux_proto.plugmux.v1 import runtime_pb2 as pb
from plugmux_proto.plugmux.v1.runtime_connect import RuntimeService

from ...connect import Code, RpcError
from ...errors import PluginError
from ..logs.log import level_name

if TYPE_CHECKING:
    from ...connect import Context
    from ..events import Event
    from ..logs.log import LogEntry

__all__ = ["EventsService", "Observed"]


class Observed(Protocol):
    """The runtime whose plugins are observed."""

    def events(self, *, present: bool = False) -> AsyncGenerator[Event, None]: ...
    def logs(self, plugin: str | None = None) -> list[LogEntry]: ...
    def follow_logs(self, plugin: str | None = None) -> AsyncGenerator[LogEntry, None]: ...


class EventsService(RuntimeService):
    """Gives the events and the logs of a runtime's plugins."""

    def __init__(self, runtime: Observed) -> None:
        self._runtime = runtime

    async def events(self, request: pb.EventsRequest, context: Context) -> AsyncIterator[pb.EventsResponse]:
        async with aclosing(self._runtime.events(present=True)) as events:
            async for event in events:
                yield _event(event)

    async def logs(self, request: pb.LogsRequest, context: Context) -> AsyncIterator[pb.LogsResponse]:
        name = request.name or None
        try:
            kept = self._runtime.logs(name)
        except PluginError as error:
            raise RpcError(Code.NOT_FOUND, str(error)) from error
        if not request.follow:
            for entry in kept:
                yield _line(entry)
            return
        async with aclosing(self._runtime.follow_logs(name)) as entries:
            async for entry in entries:
                yield _line(entry)


def _event(event: Event) -> pb.EventsResponse:
    response = pb.EventsResponse(
        plugin=event.plugin,
        before=event.before.value,
        state=event.state.value,
        health=event.health.value,
        status=event.status,
        kind=event.kind.value,
        identity=event.identity,
    )
    response.time.FromNanoseconds(int(event.time * 1e9))
    return response


def _line(entry: LogEntry) -> pb.LogsResponse:
    response = pb.LogsResponse(
        plugin=entry.plugin,
        source=entry.source.value,
        level=level_name(entry.level),
        message=entry.message,
        fields_json=json.dumps(dict(entry.fields), default=str) if entry.fields else "",
    )
    response.time.FromNanoseconds(int(entry.time * 1e9))
    return response
