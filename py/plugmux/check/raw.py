"""The runtime's end of a link, frame by frame, and HTTP/1.1 over it: a check writes each byte of a request itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import h11
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginResponse

from ..yamux.frame import FIN, SYN, WINDOW_UPDATE
from .answer import Answer
from .frames import FrameLink
from .outcome import Failed
from .program import PluginRun

__all__ = ["RawLink", "head_of"]

MAX_BODY = 64 * 1024 * 1024
MAX_HEAD = 64 * 1024
NOTHING = "/plugmux.check.v1.NothingService/Nothing"
"""A method that no plugin has."""

REGISTER = b"/plugins.v1.RegisterService/RegisterPlugin"


class RawLink(FrameLink):
    """A link whose frames and requests a check writes and reads itself; the arguments are those of `FrameLink`.

    Attributes:
        request: the head and the body of the plugin's registration.
    """

    def __init__(
        self, program: PluginRun, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float
    ) -> None:
        super().__init__(program, reader, writer, timeout)
        self.request: tuple[h11.Request, bytes] | None = None

    async def register(self, answer: RegisterPluginResponse) -> None:
        """Wait for the plugin's registration, and accept it.

        Args:
            answer: what it is told.

        Raises:
            Failed: its first request is no registration.
        """
        await self.until(lambda: self.opened, "the registration")
        stream = self.opened[0]
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        head, body = await self._receive(connection, stream, h11.Request)
        assert isinstance(head, h11.Request)
        self.request = head, body
        if head.target != REGISTER:
            raise Failed(f"its first request is {head.method.decode()} {head.target.decode()}, not the registration")
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
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
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
                if len(body) > MAX_BODY:
                    raise Failed(f"a message on stream {stream} is over {MAX_BODY} bytes long")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return head, bytes(body)
            elif isinstance(event, h11.ConnectionClosed):
                raise Failed(f"it ended stream {stream} before it had answered")

    async def health(self) -> None:
        """See that the plugin still answers.

        Raises:
            Failed: it does not.
        """
        answer = await self.answer(await self.begin("/health", method="GET"))
        if answer.status != 200:
            raise Failed(f"GET /health was answered with {answer}")


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
