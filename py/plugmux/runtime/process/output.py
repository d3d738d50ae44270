"""What a launched plugin prints: read as it comes, logged line by line, its end kept for error messages.

Reading never waits for anything but its turn, so that a plugin never blocks on a full pipe for long; a line that is too
long is cut, and bytes that are no text are shown escaped.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import IO, cast

from ...contract.printable import printable
from ..logs.log import LineLimit, LogSource, PluginLog
from ..logs.parser import parse_line

__all__ = ["LineReader", "Tail"]

MAX_LINE = 8192
LINES_PER_TURN = 64
BYTES_PER_TURN = 64 * 1024
"""What is cut into lines in one turn of the event loop: one or two milliseconds of work."""
REPORT_TIME = 1.0
"""Seconds after which the log reports how many lines were dropped."""
TAIL_LINES = 20
MAX_TAIL_LINE = 500
CUT = " [...]"
HEADLINES = ("panic: ", "fatal error: ", "FATAL ERROR: ", "# Fatal ")
"""How Go and Node.js begin the account of a crash; the stacks that follow push it out of the last lines."""


class Tail:
    """The last lines that a plugin wrote, and before them the line that says why it crashed, where one does."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._headline = ""

    def add(self, line: str) -> None:
        kept = printable(line[:MAX_TAIL_LINE])
        if line.startswith(HEADLINES):
            self._headline = kept
        self._lines.append(kept)

    def __str__(self) -> str:
        lost = self._headline and self._headline not in self._lines
        return "\n".join([self._headline, CUT.strip(), *self._lines] if lost else self._lines)


class LineReader(asyncio.Protocol):
    """Cuts what comes through a pipe into lines and logs them.

    It takes turns with the rest of the loop, and keeps only so many lines a second: a plugin that prints as fast as it
    can slows down nothing else, and is told in its log how many lines were dropped. The last of them are kept for the
    tail all the same.

    Args:
        log: where the lines go.
        source: what the pipe is.
        tail: keeps the last of them, if given.
        limit: how many lines are kept.
    """

    def __init__(
        self, log: PluginLog, source: LogSource, tail: Tail | None = None, limit: LineLimit | None = None
    ) -> None:
        self._log = log
        self._source = source
        self._tail = tail
        self._limit = limit or LineLimit()
        self._data = b""
        self._start = 0  # of what has not been cut yet
        self._rest = bytearray()
        self._skipping = False
        self._dropped = 0
        self._report: asyncio.TimerHandle | None = None
        self._lost = False
        self._transport: asyncio.ReadTransport | None = None
        self._loop = asyncio.get_running_loop()
        self.ended = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.ReadTransport", transport)  # uvloop's transport has another class

    def data_received(self, data: bytes) -> None:
        if self._data:  # It has been paused, and one more read was under way.
            self._data += data
            return
        self._data = data
        self._cut()

    def _cut(self) -> None:
        """Take as many lines as one turn may; the next turn goes on."""
        data, start, now = self._data, self._start, self._loop.time()
        for _ in range(LINES_PER_TURN):
            end = data.find(b"\n", start)
            if end < 0:
                self._take_rest(data[start:])
                return
            if not self._limit.take(now):
                self._take_rest(data[self._drop(data, start) :])
                return
            self._add(data[start:end])
            if not self._skipping:
                self._emit()
            self._rest.clear()
            self._skipping = False
            start = end + 1
            if start - self._start > BYTES_PER_TURN:
                break
        self._start = start
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._loop.call_soon(self._cut)

    def _take_rest(self, rest: bytes) -> None:
        """Take the beginning of a line behind the last whole one, and read on."""
        paused = self._start > 0
        self._data, self._start = b"", 0
        self._add(rest)
        if self._lost:
            self._end()
        elif paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _drop(self, data: bytes, start: int) -> int:
        """Count all whole lines without a look at them, but for the last; returns where they end."""
        end = data.rfind(b"\n") + 1
        self._dropped += data.count(b"\n", start, end)
        self._rest.clear()
        self._skipping = False
        if self._tail is not None:
            for line in data[start : end - 1].rsplit(b"\n", TAIL_LINES)[-TAIL_LINES:]:
                self._tail.add(_text(line[:MAX_LINE]))
        if self._report is None:
            self._report = self._loop.call_later(REPORT_TIME, self._tell_dropped)
        return end

    def _tell_dropped(self) -> None:
        self._report = None
        dropped, self._dropped = self._dropped, 0
        told = f"{dropped} lines of its {self._source.value} were dropped: it prints over {self._limit.rate} a second"
        self._log.write(LogSource.RUNTIME, logging.WARNING, told)

    def _add(self, piece: bytes) -> None:
        """Take a piece of a line; of a line that is too long, only its beginning."""
        if self._skipping:
            return
        room = MAX_LINE - len(self._rest)
        self._rest += piece[:room]
        if len(piece) > room:
            self._emit(CUT)
            self._rest.clear()
            self._skipping = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if not self._data:
            self._end()

    def _end(self) -> None:
        if self._rest:
            self._emit()
        if self._report is not None:
            self._report.cancel()
            self._tell_dropped()
        if not self.ended.done():
            self.ended.set_result(None)

    def close(self) -> None:
        """Stop reading, even where another process holds the other end of the pipe."""
        if self._transport is not None:
            self._transport.close()

    def discard(self, pipe: IO[bytes]) -> None:
        """Close the pipe that this was to read, or reads."""
        if self._transport is None:
            pipe.close()
        else:
            self._transport.close()

    def _emit(self, cut: str = "") -> None:
        line = _text(self._rest) + cut
        if self._tail is not None:
            self._tail.add(line)
        said = parse_line(line)
        self._log.write(self._source, said.level, said.message, said.fields, size=len(line))


def _text(line: bytes | bytearray) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip("\r")
