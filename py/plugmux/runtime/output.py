"""What a launched plugin prints: read as it comes, logged line by line, its end kept for error messages.

Reading never waits for anything, so that a plugin never blocks on a full pipe; a line that is too long is cut, and
bytes that are no text are shown escaped.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from .logline import parse_line

__all__ = ["LineReader", "Tail", "plugin_logger"]

LONGEST_LINE = 8192
TAIL_LINES = 20
LONGEST_TAIL_LINE = 500


def plugin_logger(name: str) -> logging.Logger:
    """The logger of one plugin's output and life."""
    return logging.getLogger(f"plugmux.plugin.{name}")


class Tail:
    """The last lines that a plugin wrote."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)

    def add(self, line: str) -> None:
        self._lines.append(line[:LONGEST_TAIL_LINE])

    def __str__(self) -> str:
        return "\n".join(self._lines)


class LineReader(asyncio.Protocol):
    """Cuts what comes through a pipe into lines and logs them.

    Args:
        logger: where the lines go; the fields of a JSON line stand in the record's `plugin_fields`.
        level: the level of lines that name none.
        tail: keeps the last of them, if given.
    """

    def __init__(self, logger: logging.Logger, level: int, tail: Tail | None = None) -> None:
        self._logger = logger
        self._level = level
        self._tail = tail
        self._rest = bytearray()
        self._skipping = False
        self._transport: asyncio.ReadTransport | None = None
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.ReadTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._rest += line[: LONGEST_LINE - len(self._rest)]
            if not self._skipping:
                self._emit()
            self._rest.clear()
            self._skipping = False
        if self._skipping:
            return
        self._rest += rest[: LONGEST_LINE - len(self._rest)]
        if len(self._rest) >= LONGEST_LINE:
            self._emit()
            self._rest.clear()
            self._skipping = True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._emit()
        if not self.ended.done():
            self.ended.set_result(None)

    def close(self) -> None:
        """Stop reading, whoever still holds the other end of the pipe."""
        if self._transport is not None:
            self._transport.close()

    def _emit(self) -> None:
        line = self._rest.decode("utf-8", "backslashreplace").rstrip("\r")
        if self._tail is not None:
            self._tail.add(line)
        said = parse_line(line, self._level)
        self._logger.log(said.level, "%s", said.message, extra={"plugin_fields": said.fields})
