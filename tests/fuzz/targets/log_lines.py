"""Any output of a plugin: lines that are kept, told to readers as JSON, and steer no terminal."""

from __future__ import annotations

import asyncio
import json

from fuzz.loop import pieces, run
from plugmux.runtime.logs.log import LogBook, LogSource
from plugmux.runtime.process.output import LineReader, Tail


def check(data: bytes) -> None:
    """The first byte tells the size of the pieces."""
    run(_read(pieces(data)))


async def _read(cut: list[bytes]) -> None:
    book, tail = LogBook(), Tail()
    reader = LineReader(book.of("kv"), LogSource.STDERR, tail)
    for piece in cut:
        reader.data_received(piece)
        await asyncio.sleep(0)
    reader.connection_lost(None)
    await reader.ended
    for entry in book.kept():
        json.dumps(dict(entry.fields)).encode()
        assert "\x1b" not in entry.message
    str(tail).encode()
