"""What a launched plugin prints: read as it comes, logged line by line, its end kept for error messages.

Reading never waits for anything, so that a plugin never blocks on a full pipe; a line that is too long is cut, and
bytes that are no text are shown escaped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import IO, cast

from ..logs.log import LogSource, PluginLog, printable
from ..logs.parser import parse_line

__all__ = ["LineReader", "Tail"]

LONGEST_LINE = 8192
TAIL_LINES = 20
LONGEST_TAIL_LINE = 500
CUT = " [...]"
HEADLINES = ("panic: ", "fatal error: ", "FATAL ERROR: ", "# Fatal ")
"""How Go and Node.js begin the account of a crash; the stacks that follow push it out of the last lines."""


class Tail:
    """The last lines that a plugin wrote, and before them the line that says why it crashed, where one does."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._headline = ""

    def add(self, line: str) -> None:
        kept = printable(line[:LONGEST_TAIL_LINE])
        if line.startswith(HEADLINES):
            self._headline = kept
        self._lines.append(kept)

    def __str__(self) -> str:
        lost = self._headline and self._headline not in self._lines
        return "\n".join([self._headline, CUT.strip(), *self._lines] if lost else self._lines)


class LineReader(asyncio.Protocol):
    """Cuts what comes through a pipe into lines and logs them.

    Args:
        log: where the lines go.
        source: what the pipe is.
        tail: keeps the last of them, if given.
    """

    def __init__(self, log: PluginLog, source: LogSource, tail: Tail | None = None) -> None:
        self._log = log
        self._source = source
        self._tail = tail
        self._rest = bytearray()
        self._skipping = False
        self._transport: asyncio.ReadTransport | None = None
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.ReadTransport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._add(line)
            if not self._skipping:
                self._emit()
            self._rest.clear()
            self._skipping = False
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        """Take a piece of a line; of a line that is too long, only its beginning."""
        if self._skipping:
            return
        room = LONGEST_LINE - len(self._rest)
        self._rest += piece[:room]
        if len(piece) > room:
            self._emit(CUT)
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

    def discard(self, pipe: IO[bytes]) -> None:
        """Close the pipe that this was to read, or reads."""
        if self._transport is None:
            pipe.close()
        else:
            self._transport.close()

    def _emit(self, cut: str = "") -> None:
        line = self._rest.decode("utf-8", "backslashreplace").rstrip("\r") + cut
        if self._tail is not None:
            self._tail.add(line)
        said = parse_line(line)
        self._log.write(self._source, said.level, said.message, said.fields, size=len(line))
