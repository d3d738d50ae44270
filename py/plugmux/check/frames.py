"""The runtime's end of a link, frame by frame: what the checks of yamux speak.

Nothing here is done behind a check's back but what every peer does: pings are answered, and what has come is credited
where `credits` is set. Frames are read only while a check waits for something.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self, TypeVar

from ..yamux.frame import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER_SIZE,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    pack_header,
    unpack_header,
)
from .outcome import Failed, timed_out
from .program import PluginRun

__all__ = ["FrameLink", "RawStream"]

MAX_DATA = 16 * 1024 * 1024
LOOK_AGAIN = 0.001
T = TypeVar("T")


@dataclass(slots=True)
class RawStream:
    """What has come on one stream.

    Attributes:
        data: the bytes.
        taken: how many of them a check has read.
        window: bytes of credit that the plugin has given.
        acked: whether it has acknowledged the stream.
        finished: whether it has ended its side.
        reset: whether it has reset the stream.
    """

    data: bytearray = field(default_factory=bytearray)
    taken: int = 0
    window: int = 256 * 1024
    acked: bool = False
    finished: bool = False
    reset: bool = False

    def take(self) -> bytes:
        """The bytes that have not been read."""
        piece = bytes(self.data[self.taken :])
        self.taken = len(self.data)
        return piece


class FrameLink:
    """A link whose frames a check writes and reads itself.

    Args:
        program: the plugin's process.
        reader: reads from it.
        writer: writes to it.
        timeout: seconds that the plugin may take for anything.

    Attributes:
        streams: all streams so far, by id.
        opened: the ids of those that the plugin has opened, in order.
        pongs: what came back of our pings.
        go_away: the code with which the plugin has said that it takes no more streams.
        ended: whether it has closed the connection.
        credits: whether it is given credit for what it sends.
    """

    def __init__(
        self, program: PluginRun, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float
    ) -> None:
        self.program = program
        self.timeout = timeout
        self.streams: dict[int, RawStream] = {}
        self.opened: list[int] = []
        self.pongs: list[int] = []
        self.go_away: int | None = None
        self.ended = False
        self.credits = True
        self._reader, self._writer = reader, writer
        self._next_id = 2

    @classmethod
    async def over(cls, sock: socket.socket, program: PluginRun, timeout: float) -> Self:
        """A link over a connected socket, which then belongs to it."""
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(program, reader, writer, timeout)

    async def send(self, kind: int, flags: int, stream: int, length: int, payload: bytes = b"") -> None:
        """Send one frame, whatever it says."""
        await self.send_bytes(pack_header(kind, flags, stream, length) + payload)

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        try:
            async with asyncio.timeout(self.timeout):
                self._writer.write(data)
                await self._writer.drain()
        except OSError:
            self.ended = True
        except TimeoutError:
            raise Failed(f"it has read nothing for {self.timeout:g} s") from None

    async def reset(self, stream: int) -> None:
        """Reset a stream, unless the plugin has done so."""
        if not self.streams[stream].reset:
            await self.send(WINDOW_UPDATE, RST, stream, 0)

    async def send_apart(self, data: bytes) -> None:
        """Send bytes, and wait until the plugin has read them, so that it reads what follows by itself."""
        await self.send_bytes(data)
        with timed_out(f"it has not read what was sent within {self.timeout:g} s (--timeout gives more)"):
            async with asyncio.timeout(self.timeout):
                while self._unread():  # noqa: ASYNC110 -- nobody tells of what another process reads
                    await asyncio.sleep(LOOK_AGAIN)

    def _unread(self) -> int:
        """The bytes that have been sent and not been read."""
        if self._writer.is_closing():  # The plugin has ended the link.
            return 0
        fd = self._writer.get_extra_info("socket").fileno()
        import fcntl
        import termios

        return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    async def write(self, stream: int, data: bytes, flags: int = 0) -> None:
        """Send data on a stream, as its window allows."""
        state = self.streams[stream]
        while len(data) > state.window:
            piece, data = data[: state.window], data[state.window :]
            state.window = 0
            if piece:
                await self.send(DATA, flags, stream, len(piece), piece)
                flags = 0
            await self.until(lambda: state.window or state.reset, f"more credit on stream {stream}")
            if state.reset:
                return
        state.window -= len(data)
        await self.send(DATA, flags, stream, len(data), data)

    def new_stream(self) -> int:
        """The id of a further stream of ours; nothing is sent."""
        while self._next_id in self.streams:
            self._next_id += 2
        stream = self._next_id
        self.streams[stream] = RawStream()
        return stream

    async def until(self, holds: Callable[[], T], what: str) -> T:
        """Read frames until something holds.

        Args:
            holds: tells it; asked after every frame.
            what: what it is, for the message.

        Returns:
            What `holds` gave.

        Raises:
            Failed: the link ended before, or it took too long.
        """
        with timed_out(f"{what} did not come within {self.timeout:g} s (--timeout gives more)"):
            async with asyncio.timeout(self.timeout):
                while not (found := holds()):
                    if self.ended:
                        raise Failed(f"the plugin ended the link: {what} did not come{self._why()}")
                    await self._read_frame()
        return found

    async def until_ended(self, what: str) -> None:
        """Wait for the plugin to end the link, or to refuse all further streams with an error.

        Raises:
            Failed: it goes on.
        """
        await self.until(lambda: self.ended or self.go_away, f"the end of the link after {what}")

    def _why(self) -> str:
        return "" if self.go_away is None else f" (its go-away had the code {self.go_away})"

    async def _read_frame(self) -> None:
        try:
            head = await self._reader.readexactly(HEADER_SIZE)
            version, kind, flags, stream, length = unpack_header(head)
            if version != 0 or kind > GO_AWAY:
                raise Failed(f"it sent a frame of version {version} and type {kind}")
            if kind != DATA:
                await self._take(kind, flags, stream, length, b"")
                return
            if length > MAX_DATA:
                raise Failed(f"it sent a data frame of {length} bytes")
            await self._take(kind, flags, stream, length, await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            self.ended = True

    async def _take(self, kind: int, flags: int, stream: int, length: int, payload: bytes) -> None:
        if kind == GO_AWAY:
            self.go_away = length
        elif kind == PING:
            if flags & ACK:
                self.pongs.append(length)
            else:
                await self.send(PING, ACK, 0, length)
        else:
            if flags & SYN:
                self.opened.append(stream)
            state = self.streams.setdefault(stream, RawStream())
            if kind == WINDOW_UPDATE:
                state.window += length
            state.data += payload
            state.acked |= bool(flags & ACK)
            state.finished |= bool(flags & FIN)
            state.reset |= bool(flags & RST)
            if flags & SYN:
                await self.send(WINDOW_UPDATE, ACK, stream, 0)
            if payload and self.credits and not state.finished:
                await self.send(WINDOW_UPDATE, 0, stream, len(payload))

    async def ping(self, number: int = 7) -> None:
        """See that the link goes on, and that the plugin has read all that was sent."""
        before = len(self.pongs)
        await self.send(PING, SYN, 0, number)
        await self.until(lambda: len(self.pongs) > before, "the answer to a ping")

    def cut(self) -> None:
        """End the connection, as the end of the runtime would."""
        self.ended = True
        self._writer.transport.abort()

    async def close(self) -> None:
        """End the connection and the process."""
        self._writer.transport.abort()
        await self.program.close()
