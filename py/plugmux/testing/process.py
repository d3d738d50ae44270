"""Real processes as plugins under test, with faults on their links.

The bytes of the process' socket pass through a link in memory, on which the faults act:

    runtime's mux <-- memory, faults --> SocketRelay <-- socket --> process
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, cast

from ..runtime import Launch, LocalRunner
from .faults import LinkFaults
from .memory import connect_in_memory

if TYPE_CHECKING:
    from ..link.link import Link
    from ..runtime import Run
    from ..runtime.logs.log import PluginLog

__all__ = ["FaultyProcessRunner"]


class FaultyProcessRunner(LocalRunner):
    """Starts plugins as processes of this machine, with faults on their links. (See `Runner`.)

    Args:
        faults: what is injected.
    """

    def __init__(self, faults: LinkFaults) -> None:
        self._faults = faults

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> Any:
        """Start the program."""
        return FaultyProcessRun(await super().start(launch, timeout, log), self._faults)


class FaultyProcessRun:
    """One run of a process whose link is faulty; all else is that of the run. (See `Run`.)"""

    def __init__(self, run: Run, faults: LinkFaults) -> None:
        self._run = run
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    async def connect(self, link: Link) -> None:
        """Connect the runtime's end of the link through the faults."""
        await self._run.connect(cast("Link", _Connector(link, self._faults)))


class _Connector:
    """Takes the process' end of the link in the place of the runtime's."""

    def __init__(self, link: Link, faults: LinkFaults) -> None:
        self._link = link
        self._faults = faults

    async def over_socket(self, sock: socket.socket) -> None:
        """SocketRelay between the socket and the link."""
        near, far = SocketRelay(), SocketRelay()
        near.other, far.other = far, near
        sock.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: far, sock=sock)
        connect_in_memory(self._link.mux, near, self._faults)

    async def over_pipes(self, read: int, write: int) -> None:
        """Connect the link itself: it has no faults."""
        await self._link.over_pipes(read, write)


class SocketRelay(asyncio.Protocol):
    """Passes on to another relay what arrives, no faster than it takes it.

    Attributes:
        other: the other relay.
    """

    other: SocketRelay
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self.other.transport is None:
            return
        if error is None:
            self.other.transport.close()
        else:
            self.other.transport.abort()
