"""The runtime's end of a link, frame by frame: what the checks of yamux and of HTTP speak.

Nothing here is done behind a check's back but what every peer does: pings are answered, and what has come is credited
where `credits` is set. Frames are read only while a check waits for something.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import termios
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import h11
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginResponse

from ..contract.version import VERSION
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
from .answer import Answer
from .outcome import Failed, timed_out
from .program import Program

__all__ = ["RawLink", "RawStream"]

LONGEST_FRAME = 16 * 1024 * 1024
LONGEST_BODY = 64 * 1024 * 1024
LONGEST_HEAD = 64 * 1024
LOOK_AGAIN = 0.001
NOTHING = "/plugmux.check.v1.NothingService/Nothing"
"""A method that no plugin has."""

REGISTER = b"/plugins.v1.RegisterService/RegisterPlugin"

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


class RawLink:
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
        request: the head and the body of its registration.
    """

    def __init__(
        self, program: Program, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float
    ) -> None:
        self.program = program
        self.timeout = timeout
        self.streams: dict[int, RawStream] = {}
        self.opened: list[int] = []
        self.pongs: list[int] = []
        self.go_away: int | None = None
        self.ended = False
        self.credits = True
        self.request: tuple[h11.Request, bytes] | None = None
        self._reader, self._writer = reader, writer
        self._next_id = 2

    @classmethod
    async def over(cls, sock: socket.socket, program: Program, timeout: float) -> RawLink:
        """A link over a connected socket, which then belongs to it."""
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(program, reader, writer, timeout)

    # Frames.

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
            if length > LONGEST_FRAME:
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

    # HTTP.

    async def register(self, response: RegisterPluginResponse | None = None) -> None:
        """Wait for the plugin's registration, and accept it.

        Args:
            response: what it is told.

        Raises:
            Failed: its first request is no registration.
        """
        await self.until(lambda: self.opened, "the registration")
        stream = self.opened[0]
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD)
        head, body = await self._receive(connection, stream, h11.Request)
        assert isinstance(head, h11.Request)
        self.request = head, body
        if head.target != REGISTER:
            raise Failed(f"its first request is {head.method.decode()} {head.target.decode()}, not the registration")
        answer = response or RegisterPluginResponse(engine_name="plugmux check", engine_version=VERSION)
        kind = dict(head.headers).get(b"content-type", b"")
        if kind.startswith(b"application/json"):
            from google.protobuf.json_format import MessageToJson

            content = MessageToJson(answer).encode()
        else:
            content = answer.SerializeToString()
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(content)), (b"connection", b"close")]
        reply = connection.send(h11.Response(status_code=200, headers=headers)) or b""
        reply += connection.send(h11.Data(data=content)) or b""
        await self.write(stream, reply)
        await self.send(WINDOW_UPDATE, FIN, stream, 0)

    async def settle(self) -> None:
        """Wait for the plugin to have taken the answer to its registration: what is asked before then waits for it."""
        await self.answer(await self.begin(NOTHING))

    async def begin(
        self,
        path: str,
        body: bytes = b"",
        *,
        content_type: str = "application/proto",
        method: str = "POST",
        length: int | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> int:
        """Open a stream and send a request on it.

        Args:
            path: of the request.
            body: what is sent of its body.
            content_type: of the body.
            method: of the request.
            length: the length that is told; that of `body` by default.
            headers: further header fields.

        Returns:
            The id of the stream.
        """
        stream = self.new_stream()
        await self.write(
            stream, head_of(path, len(body) if length is None else length, content_type, method, headers), SYN
        )
        if body:
            await self.write(stream, body)
        return stream

    async def answer(self, stream: int) -> Answer:
        """Wait for the whole answer on a stream.

        Raises:
            Failed: it is none, or did not come.
        """
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
        connection.send(h11.Request(method="POST", target="/", headers=[("host", "unix"), ("content-length", "0")]))
        connection.send(h11.EndOfMessage())
        head, body = await self._receive(connection, stream, h11.Response)
        assert isinstance(head, h11.Response)
        return Answer(head.status_code, dict(head.headers), body)

    async def _receive(
        self, connection: h11.Connection, stream: int, kind: type[h11.Request | h11.Response]
    ) -> tuple[h11.Request | h11.Response, bytes]:
        state = self.streams[stream]
        head: h11.Request | h11.Response | None = None
        body, at_end = bytearray(), False
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError as error:
                raise Failed(f"what it sent on stream {stream} is not HTTP: {error}") from None
            if event is h11.NEED_DATA:
                await self.until(
                    lambda: state.taken < len(state.data) or state.finished or state.reset,
                    f"what belongs on stream {stream}",
                )
                if at_end or (state.reset and state.taken == len(state.data)):
                    how = "reset" if state.reset else "ended"
                    raise Failed(f"it {how} stream {stream} before its message was whole")
                piece = state.take()
                at_end = not piece and state.finished
                if piece or at_end:
                    connection.receive_data(piece)
            elif isinstance(event, kind):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > LONGEST_BODY:
                    raise Failed(f"a message on stream {stream} is over {LONGEST_BODY} bytes long")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return head, bytes(body)
            elif isinstance(event, h11.ConnectionClosed):
                raise Failed(f"it ended stream {stream} before it had answered")

    async def ping(self, number: int = 7) -> None:
        """See that the link goes on, and that the plugin has read all that was sent."""
        before = len(self.pongs)
        await self.send(PING, SYN, 0, number)
        await self.until(lambda: len(self.pongs) > before, "the answer to a ping")

    async def health(self) -> None:
        """See that the plugin still answers.

        Raises:
            Failed: it does not.
        """
        answer = await self.answer(await self.begin("/health", method="GET"))
        if answer.status != 200:
            raise Failed(f"GET /health was answered with {answer}")

    def cut(self) -> None:
        """End the connection, as the end of the runtime would."""
        self.ended = True
        self._writer.transport.abort()

    async def close(self) -> None:
        """End the connection and the process."""
        self._writer.transport.abort()
        await self.program.close()


def head_of(
    path: str,
    length: int | None,
    content_type: str = "application/proto",
    method: str = "POST",
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """The head of a request; without a length its body is chunked."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: unix", b"Connection: close"]
    if method == "POST":
        lines += [b"Content-Type: " + content_type.encode(), b"Connect-Protocol-Version: 1"]
        lines.append(b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length)
    lines += [b"%s: %s" % field for field in headers]
    return b"\r\n".join([*lines, b"", b""])
