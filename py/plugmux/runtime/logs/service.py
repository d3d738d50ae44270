"""The log service on a link: what a plugin's logger says goes where the plugin's output goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from plugmux_proto.plugmux.v1 import log_pb2 as pb
from plugmux_proto.plugmux.v1.log_connect import LogService

from ...connect import Code, RpcError
from ...contract.nesting import parse_json
from .log import NOTHING, LineLimit, LogBook, LogSource, PluginLog

if TYPE_CHECKING:
    from ...connect import Context
    from ...contract.registration import Registration

__all__ = ["PluginLogService"]

MAX_RECORDS = 1000
RECORDS_PER_TURN = 64
TELL_TIME = 1.0
"""Seconds between two lines that report dropped records."""
MAX_MESSAGE = 8192
MAX_FIELDS = 16_384
LATEST_TIME = 253_402_300_799
"""The last second of the year 9999, which is the last that a timestamp of the wire, or a calendar, may tell."""

LEVELS: Mapping[int, int] = {
    pb.LOG_LEVEL_DEBUG: logging.DEBUG,
    pb.LOG_LEVEL_INFO: logging.INFO,
    pb.LOG_LEVEL_WARNING: logging.WARNING,
    pb.LOG_LEVEL_ERROR: logging.ERROR,
    pb.LOG_LEVEL_CRITICAL: logging.CRITICAL,
}


class PluginLogService(LogService):
    """Takes the log records of the plugin on one link.

    Args:
        registered: done when the plugin has registered.
        logs: the logs of all plugins.
    """

    def __init__(self, registered: asyncio.Future[Registration], logs: LogBook) -> None:
        self._registered = registered
        self._logs = logs
        self._limit = LineLimit()
        self._dropped = 0
        self._tell_at = 0.0

    async def write(self, request: pb.WriteRequest, context: Context) -> pb.WriteResponse:
        registered = self._registered
        if not registered.done() or registered.exception() is not None:
            raise RpcError(Code.FAILED_PRECONDITION, "register first: the records have no plugin yet")
        if len(request.records) > MAX_RECORDS:
            raise RpcError(Code.RESOURCE_EXHAUSTED, f"over {MAX_RECORDS} records at once: send fewer, more often")
        log = self._logs.of(registered.result().name)
        if request.dropped:
            lost = f"{request.dropped} records of its logger were lost: it made them faster than they could be sent"
            log.write(LogSource.RUNTIME, logging.WARNING, lost)
        await self._take(log, request.records)
        return pb.WriteResponse()

    async def _take(self, log: PluginLog, records: Sequence[pb.LogRecord]) -> None:
        """Write records in turns with the rest of the loop, and no more of them in a second than are kept."""
        loop = asyncio.get_running_loop()
        for number, record in enumerate(records):
            now = loop.time()
            if self._dropped and now >= self._tell_at:
                told = f"{self._dropped} records of its logger were dropped: it logs over {self._limit.rate} a second"
                log.write(LogSource.RUNTIME, logging.WARNING, told)
                self._dropped, self._tell_at = 0, now + TELL_TIME
            if self._limit.take(now):
                _write(log, record)
            else:
                self._dropped += 1
            if number % RECORDS_PER_TURN == RECORDS_PER_TURN - 1:
                await asyncio.sleep(0)


def _write(log: PluginLog, record: pb.LogRecord) -> None:
    message = record.message[:MAX_MESSAGE]
    fields = _fields(record.fields_json)
    if record.logger:
        fields = {"logger": record.logger[:MAX_MESSAGE], **fields}
    log.write(
        LogSource.LOG,
        LEVELS.get(record.level, logging.INFO),
        message,
        fields,
        size=len(message) + len(record.fields_json),
        when=_time(record),
    )


def _time(record: pb.LogRecord) -> float | None:
    seconds = record.time.seconds + record.time.nanos / 1e9
    return seconds if record.HasField("time") and 0 <= seconds <= LATEST_TIME else None


def _fields(text: str) -> Mapping[str, object]:
    """The fields of a record; a mistake in them takes nothing from its message."""
    if not text:
        return NOTHING
    try:
        fields = parse_json(text) if len(text) <= MAX_FIELDS else None
    except ValueError:
        fields = None
    return fields if isinstance(fields, dict) else {"fields_json": text[:200]}
