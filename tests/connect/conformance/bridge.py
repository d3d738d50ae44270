"""Carries a TCP connection over a stream of a link, byte for byte, both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Bridge(asyncio.Protocol):
    """One end of the bridge; it opens the other when it is connected."""

    def __init__(self, open: Callable[[asyncio.Protocol], Any] | None, other: Bridge | None = None) -> None:
        self._open = open
        self.other = other
        self.transport: Any = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self._open is not None:
            self.other = Bridge(None, self)
            self.other.transport = self._open(self.other)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.other is None:
            return False
        if self.other.transport.can_write_eof():  # TLS has no half close: there the peer ends when it has read all
            self.other.transport.write_eof()
        return not self.other.ended

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            if exc is None:
                self.other.transport.close()
            else:
                self.other.transport.abort()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()
