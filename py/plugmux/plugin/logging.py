"""A `logging` handler that sends a plugin's records to its runtime, with their levels and fields."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from ..connect import Code, RpcError
from ..errors import ConfigError

if TYPE_CHECKING:
    from plugmux_proto.plugmux.v1.log_pb2 import LogRecord

    from ..link.app import Gate
    from ..link.link import Link
    from .connection import OnLink

__all__ = ["LogHandler"]

CAPACITY = 1000
BATCH = 50
MAX_TEXT = 8192
CUT = "\n[...]\n"
SEND_TIMEOUT = 5.0
RETRY_DELAY = 0.5
REFUSED = frozenset({Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED})
"""What a runtime answers that would refuse the same records again, so that they would hold up all later ones."""
FLUSH_TIME = 1.0
"""Seconds for sending the remaining records before the link closes."""

STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""The attributes of every record; all others are fields."""

_sending: ContextVar[bool] = ContextVar("sending", default=False)
"""Whether the present code is sending records. Its own records are not sent, because sending them would make more."""


class HasLinks(Protocol):
    """What a handler needs of its plugin."""

    def on_link(self, enter: OnLink) -> None:
        """Enter a context manager on each further link to a runtime."""
        ...


class LogHandler(logging.Handler):
    """Sends log records to the runtime: `logging.getLogger().addHandler(LogHandler(plugin))`.

    The host logs them by the logger `plugmux.plugin.<name>`, with their level and time; `record.plugin_fields` has what
    was given as `extra`. Logging never waits: records wait in a queue until the runtime has taken them. If the queue is
    full the oldest records are dropped, and the runtime is told how many. If the runtime has no log service, and at the
    end of the process, the remaining records are written to stderr.

    Args:
        plugin: the plugin whose runtime receives the records.
        level: the lowest level that is sent.
        capacity: the most records that may wait (1,000).

    Raises:
        ConfigError: the capacity is below 1.
    """

    def __init__(self, plugin: HasLinks, level: int = logging.NOTSET, *, capacity: int = CAPACITY) -> None:
        if capacity < 1:
            raise ConfigError(f"the capacity of a LogHandler is {capacity}; it must be 1 or more")
        super().__init__(level)
        self._capacity = capacity
        self._guard = threading.RLock()  # A signal handler or a finalizer may log where it is held.
        self._waiting: deque[LogRecord] = deque()
        self._dropped = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._links = 0
        self._work = asyncio.Event()
        self._to_stderr = False
        plugin.on_link(self._sending_over)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record, from any thread."""
        if _sending.get():
            return
        try:
            if self._to_stderr:
                print(self.format(record), file=sys.stderr)
            else:
                self._queue(_as_wire(record, self.format(record)))
        except Exception:
            self.handleError(record)

    def _queue(self, record: LogRecord) -> None:
        with self._guard:
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(record)
            loop, is_first = self._loop, len(self._waiting) == 1
        if loop is not None and is_first:
            with suppress(RuntimeError):  # The loop has just been closed, so that nothing can be sent.
                loop.call_soon_threadsafe(self._work.set)

    @asynccontextmanager
    async def _sending_over(self, link: Link, gate: Gate) -> AsyncIterator[None]:
        """Send records over a link, from the registration until the block ends."""
        self._loop, leaving = asyncio.get_running_loop(), asyncio.Event()
        self._links += 1
        task = asyncio.create_task(self._keep_sending(link, gate, leaving), name="plugmux: send log records")
        try:
            yield
        finally:
            self._links -= 1
            if not self._links:
                self._loop = None
            leaving.set()
            self._work.set()
            await asyncio.wait([task], timeout=FLUSH_TIME if gate.is_open else 0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_sending(self, link: Link, gate: Gate, leaving: asyncio.Event) -> None:
        """Send records until the link is about to close, and then those that still wait."""
        _sending.set(True)  # in this task alone
        if not await gate.wait():
            return
        while True:
            self._work.clear()
            try:
                await self._send_all(link)
            except RpcError as error:
                if error.code is Code.UNIMPLEMENTED:
                    self._fall_back()
                if error.code is Code.UNIMPLEMENTED or link.closed or leaving.is_set():
                    return
                await asyncio.sleep(RETRY_DELAY)
            else:
                if leaving.is_set():
                    return
                await self._work.wait()

    async def _send_all(self, link: Link) -> None:
        """Send all waiting records; those that could not be sent wait again.

        Raises:
            RpcError: the runtime did not take them.
        """
        from plugmux_proto.plugmux.v1.log_connect import LogClient
        from plugmux_proto.plugmux.v1.log_pb2 import WriteRequest

        while self._waiting or self._dropped:
            records, dropped = self._take()
            request = WriteRequest(records=records, dropped=dropped)
            try:
                await link.client(LogClient).write(request, timeout=SEND_TIMEOUT)
            except BaseException as error:
                if isinstance(error, RpcError) and error.code in REFUSED:
                    records, dropped = [], dropped + len(records)
                self._put_back(records, dropped)
                raise

    def _take(self) -> tuple[list[LogRecord], int]:
        with self._guard:
            records = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            dropped, self._dropped = self._dropped, 0
        return records, dropped

    def _put_back(self, records: list[LogRecord], dropped: int) -> None:
        with self._guard:
            room = self._capacity - len(self._waiting)
            kept = records[max(len(records) - room, 0) :]
            self._waiting.extendleft(reversed(kept))
            self._dropped += dropped + len(records) - len(kept)

    def _fall_back(self) -> None:
        """Write the waiting records to stderr, and all further ones as well."""
        with self._guard:
            self._to_stderr = True
            for record in self._waiting:
                print(record.message, file=sys.stderr)
            self._waiting.clear()

    def close(self) -> None:
        """Write the records that could not be sent to stderr."""
        self._fall_back()
        super().close()


class DefaultLogHandler(LogHandler):
    """Sends warnings of plugmux itself that no other handler takes, in place of `logging.lastResort`.

    `lastResort` prints, and a runtime cannot know the level of a traceback that is printed.
    """

    def __init__(self, plugin: HasLinks) -> None:
        super().__init__(plugin, logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record, unless a handler of the plugin's author takes it."""
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return
            logger = logger.parent if logger.propagate else None
        super().emit(record)


def _shortened(text: str) -> str:
    """Cut the middle out of a text that is too long, because a traceback ends with the error."""
    if len(text) <= MAX_TEXT:
        return text
    half = (MAX_TEXT - len(CUT)) // 2
    return text[:half] + CUT + text[-half:]


def _as_wire(record: logging.LogRecord, text: str) -> LogRecord:
    from plugmux_proto.plugmux.v1 import log_pb2 as pb

    levels = (
        (logging.CRITICAL, pb.LOG_LEVEL_CRITICAL),
        (logging.ERROR, pb.LOG_LEVEL_ERROR),
        (logging.WARNING, pb.LOG_LEVEL_WARNING),
        (logging.INFO, pb.LOG_LEVEL_INFO),
    )
    sent = pb.LogRecord(
        level=next((level for number, level in levels if record.levelno >= number), pb.LOG_LEVEL_DEBUG),
        message=_shortened(text).encode("utf-8", "backslashreplace").decode(),
        logger=record.name,
        fields_json=_fields({key: value for key, value in record.__dict__.items() if key not in STANDARD}),
    )
    sent.time.FromNanoseconds(int(record.created * 1e9))
    return sent


def _fields(values: dict[str, object]) -> str:
    if not values:
        return ""
    try:
        text = json.dumps(values, default=str, skipkeys=True)
    except (ValueError, RecursionError):
        text = json.dumps({key: str(value)[:MAX_TEXT] for key, value in values.items()})
    return text if len(text) <= MAX_TEXT else json.dumps({"cut": text[: MAX_TEXT // 4]})
