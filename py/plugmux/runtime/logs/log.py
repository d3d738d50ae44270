"""What the plugins of a runtime say: into `logging` as it comes, and the last of it kept for those who ask later."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from ...aio.broadcast import Broadcast
from ...contract.printable import printable

__all__ = ["LineLimit", "LogBook", "LogEntry", "LogSource", "PluginLog", "level_name", "plugin_logger"]

LINES_PER_SECOND = 1000
BURST = 5000
"""Lines that may come at once: the stacks of a crash are as many."""

KEPT_LINES = 500
KEPT_CHARACTERS = 128 * 1024
MAX_LOGS = 1024
NOTHING: Mapping[str, object] = MappingProxyType({})
LEVEL_NAMES = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
)


def plugin_logger(name: str) -> logging.Logger:
    """The logger of one plugin's output and life."""
    return logging.getLogger(f"plugmux.plugin.{name}")


def level_name(level: int) -> str:
    """The word for a level of `logging`, or for the next below it that has one."""
    return next((word for number, word in LEVEL_NAMES if level >= number), "debug")


class LogSource(Enum):
    """Where a line comes from."""

    STDOUT = "stdout"
    STDERR = "stderr"
    LOG = "log"
    """The plugin's logger, over the log service."""
    RUNTIME = "runtime"
    """What the runtime itself says of the plugin."""


class LogEntry(NamedTuple):
    """One line of a plugin's log.

    Args:
        plugin: the plugin's name.
        source: where it comes from.
        level: a level of `logging`.
        message: the text.
        fields: what else it says.
        time: when, in seconds since the epoch.
    """

    plugin: str
    source: LogSource
    level: int
    message: str
    fields: Mapping[str, object]
    time: float


class LineLimit:
    """A bucket of lines, which fills as time passes.

    Args:
        rate: lines a second.
        burst: lines that may come at once, after a rest.
    """

    __slots__ = ("_burst", "_left", "_seen", "rate")

    def __init__(self, rate: int = LINES_PER_SECOND, burst: int = BURST) -> None:
        self.rate = rate
        self._burst = self._left = float(burst)
        self._seen: float | None = None

    def take(self, now: float) -> bool:
        """Whether one more line may be kept at this time, in seconds."""
        if self._seen is not None:
            self._left = min(self._left + (now - self._seen) * self.rate, self._burst)
        self._seen = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class PluginLog:
    """The log of one plugin, through all its runs.

    Args:
        name: the plugin's name.
        broadcast: publishes every line.
        on_refused: is told the name, and why something was refused that came in it.
    """

    def __init__(self, name: str, broadcast: Broadcast[LogEntry], on_refused: Callable[[str, str], None]) -> None:
        self.name = name
        self._on_refused = on_refused
        self._logger = plugin_logger(name)
        self._broadcast = broadcast
        self._kept: deque[tuple[int, LogEntry]] = deque()
        self._size = 0

    def write(
        self,
        source: LogSource,
        level: int,
        message: str,
        fields: Mapping[str, object] = NOTHING,
        *,
        size: int = 0,
        when: float | None = None,
    ) -> None:
        """Take one line.

        Args:
            source: where it comes from.
            level: a level of `logging`.
            message: the text; its length is bounded.
            fields: what else it says; in the log record they stand in `plugin_fields`.
            size: the characters that it takes, where that is more than its text.
            when: when it was said, in seconds since the epoch; now by default.
        """
        message = printable(message)
        entry = LogEntry(self.name, source, level, message, fields, time.time() if when is None else when)
        self._keep(entry, max(size, len(message)))
        self._broadcast.publish(entry)
        if self._logger.isEnabledFor(level):
            extra = {"plugin_fields": dict(fields)}
            record = self._logger.makeRecord(
                self._logger.name, level, source.value, 0, "%s", (message,), None, extra=extra
            )
            if when is not None:
                record.created, record.msecs = when, when % 1 * 1000
            self._logger.handle(record)

    def refused(self, why: str) -> None:
        """Tell, as a line and as an event of the runtime, that something was refused that came in the plugin's name."""
        self.write(LogSource.RUNTIME, logging.WARNING, why)
        self._on_refused(self.name, why)

    def _keep(self, entry: LogEntry, size: int) -> None:
        kept = self._kept
        kept.append((size, entry))
        self._size += size
        while len(kept) > KEPT_LINES or self._size > KEPT_CHARACTERS:
            self._size -= kept.popleft()[0]

    def kept(self) -> list[LogEntry]:
        """The last lines, oldest first."""
        return [entry for _, entry in self._kept]


class LogBook:
    """The logs of all plugins of a runtime, by name; replicas share one.

    Attributes:
        on_refused: as of `PluginLog`.
    """

    def __init__(self) -> None:
        self.on_refused: Callable[[str, str], None] = lambda name, why: None
        self._logs: dict[str, PluginLog] = {}
        self._broadcast: Broadcast[LogEntry] = Broadcast()

    def __contains__(self, name: object) -> bool:
        return name in self._logs

    def of(self, name: str) -> PluginLog:
        """The log of a plugin, created if there is none."""
        log = self._logs.pop(name, None) or PluginLog(name, self._broadcast, self.on_refused)
        self._logs[name] = log  # at the end again: what has not been asked for longest is forgotten first
        if len(self._logs) > MAX_LOGS:
            del self._logs[next(iter(self._logs))]
        return log

    def kept(self, name: str | None = None) -> list[LogEntry]:
        """The last lines of one plugin, or of all, oldest first."""
        logs: Iterable[PluginLog] = self._logs.values() if name is None else filter(None, [self._logs.get(name)])
        return sorted((entry for log in logs for entry in log.kept()), key=lambda entry: entry.time)

    def follow(self, name: str | None = None) -> AsyncGenerator[LogEntry, None]:
        """The last lines, oldest first, and then those that come, until the book is closed."""
        wanted = None if name is None else lambda entry: entry.plugin == name
        return self._broadcast.read(lambda: self.kept(name), wanted)

    def close(self) -> None:
        """Let every reader come to its end."""
        self._broadcast.close()
