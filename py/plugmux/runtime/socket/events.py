"""The runtime's own service for those who look on: what happens to the plugins, and what they say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from plugmux_proto.plugmux.v1 import runtime_pb2 as pb
from plugmux_proto.plugmux.v1.runtime_connect import RuntimeService

from ...connect import Code, RpcError
from ..error import PluginError
from ..logs.log import level_name

if TYPE_CHECKING:
    from ...connect import Context
    from ..events import Event
    from ..logs.log import LogEntry
    from ..runtime import Runtime

__all__ = ["EventsService"]


class EventsService(RuntimeService):
    """Gives the events and the logs of a runtime's plugins."""

    def __init__(self, runtime: Runtime) -> None:
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
