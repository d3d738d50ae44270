"""HTTP by hand: a connection in memory, a peer that speaks bytes, small apps, and what makes servers of them."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from plugmux.exchange import RequestHead, Response
from plugmux.http import HttpLimits, Server, StreamClient
from plugmux.yamux import Mux


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory, as a socket's transport behaves; what it did stays visible.

    Args:
        protocol: the protocol at this end.
        step: deliver at most so many bytes at a time.
    """

    def __init__(self, protocol: asyncio.BaseProtocol, step: int | None = None) -> None:
        super().__init__()
        self.protocol: Any = protocol
        self.step = step
        self.peer: MemoryTransport
        self.closing = False
        self.lost = False
        self.reading = True
        self.paused_writing = False
        self.inbox: deque[bytes | None] = deque()
        self.loop = asyncio.get_running_loop()
        self.writes: list[bytes] = []

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol  # type: ignore[no-any-return]  # of any type

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self.loop.call_soon(self._deliver)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not self.closing and data:
            self.writes.append(bytes(data))
            self.peer._put(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.peer._put(None)

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.peer._put(None)
            self.loop.call_soon(self._lose, None)

    def abort(self) -> None:
        if not self.lost:
            self.closing = True
            self.loop.call_soon(self._lose, None)
            self.peer.inbox.clear()
            self.loop.call_soon(self.peer._lose, ConnectionResetError("reset by the other end"))

    def _put(self, item: bytes | None) -> None:
        self.inbox.append(item)
        if self._size() > 64 * 1024 and not self.peer.paused_writing:
            self.peer.paused_writing = True
            self.peer.protocol.pause_writing()
        self.loop.call_soon(self._deliver)

    def _size(self) -> int:
        return sum(len(item or b"") for item in self.inbox)

    def _deliver(self) -> None:
        while self.inbox and self.reading and not self.closing:
            item = self.inbox.popleft()
            if item is None:
                if not self.protocol.eof_received():
                    self.close()
                break
            size = self.step or len(item)
            if item[size:]:
                self.inbox.appendleft(item[size:])
            if isinstance(self.protocol, asyncio.BufferedProtocol):
                piece = item[:size]
                buffer = self.protocol.get_buffer(len(piece))
                buffer[: len(piece)] = piece  # type: ignore[index]  # it can be written to
                self.protocol.buffer_updated(len(piece))
            else:
                self.protocol.data_received(item[:size])
        if self.peer.paused_writing and self._size() < 16 * 1024 and not self.peer.lost:
            self.peer.paused_writing = False
            self.peer.protocol.resume_writing()

    def _lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.closing = self.lost = True
            self.protocol.connection_lost(error)


def join(one: asyncio.BaseProtocol, other: asyncio.BaseProtocol, step: int | None = None) -> MemoryTransport:
    """Connect two protocols and return the first one's transport."""
    a, b = MemoryTransport(one, step), MemoryTransport(other, step)
    a.peer, b.peer = b, a
    b.protocol.connection_made(b)
    a.protocol.connection_made(a)
    return a


class Wire(asyncio.Protocol):
    """The other end of a connection, by hand: send bytes, look at what comes."""

    def __init__(self) -> None:
        self.transport: Any
        self.received = bytearray()
        self.ended = False
        self.lost = False
        self.error: Exception | None = None
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._changed.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost, self.error = True, exc
        self._changed.set()

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    async def until(self, end: bytes) -> bytes:
        """Wait until what has come ends so, and take it."""
        await self._wait(lambda: self.received.endswith(end))
        data = bytes(self.received)
        self.received.clear()
        return data

    async def until_end(self) -> bytes:
        """Wait until the server has ended its side, and take all that has come."""
        await self._wait(lambda: self.ended or self.lost)
        return bytes(self.received)

    async def until_lost(self) -> bytes:
        """Wait until the connection is gone, and take all that has come."""
        await self._wait(lambda: self.lost)
        return bytes(self.received)

    async def _wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@dataclass
class EchoCall:
    """A call on the fast path that answers with the request's body, or with what `answer` makes of it."""

    limit: int = 1 << 20
    deadline: float | None = None
    answer: Callable[[bytes], Coroutine[Any, Any, Response]] | None = None

    async def complete(self, body: bytes) -> Response:
        if self.answer is not None:
            return await self.answer(body)
        return Response(200, ((b"content-type", b"text/plain"),), body)

    def expired(self) -> Response:
        return Response(504, (), b"too late")

    def too_large(self, size: int) -> Response:
        return Response(413, (), b"%d bytes" % size)


@dataclass
class FastPathEcho:
    """An app with nothing but a fast path."""

    call: EchoCall = field(default_factory=EchoCall)
    heads: list[RequestHead] = field(default_factory=list)

    def fast_path(self, head: RequestHead) -> EchoCall | None:
        self.heads.append(head)
        return self.call

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("everything goes by the fast path")


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app that answers with the request's body."""
    assert scope["type"] == "http"
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Harness:
    """Makes servers and connections to them, and ends them with the test."""

    servers: list[Server] = field(default_factory=list)
    muxes: list[Mux] = field(default_factory=list)

    def server(self, app: Any, *, lifespan: bool = False, **limits: Any) -> Server:
        server = Server(app, limits=HttpLimits(**limits), lifespan=lifespan)
        self.servers.append(server)
        return server

    def wire(self, app: Any, *, step: int | None = None, **limits: Any) -> Wire:
        """A connection by hand to a new server, or to the server that is given."""
        server = app if isinstance(app, Server) else self.server(app, **limits)
        wire = Wire()
        join(wire, server.protocol(), step)
        return wire

    def client(self, app: Any, *, step: int | None = None, **limits: Any) -> StreamClient:
        """A client each of whose requests is a connection in memory to a new server, or the one given."""
        server = app if isinstance(app, Server) else self.server(app, **limits)
        return StreamClient(lambda protocol: join(protocol, server.protocol(), step))

    def against(self, peer: Callable[[], asyncio.BaseProtocol], *, step: int | None = None) -> StreamClient:
        """A client whose requests meet a protocol of the test's own."""
        return StreamClient(lambda protocol: join(protocol, peer(), step))

    async def muxes_for(self, app: Any, **limits: Any) -> tuple[Mux, Mux]:
        """Two ends of a session, of which the second serves the app."""
        server = app if isinstance(app, Server) else self.server(app, **limits)
        calling, serving = Mux(client=False), Mux(client=True)
        serving.listen(server.protocol)
        await connect(calling, serving)
        self.muxes += [calling, serving]
        return calling, serving

    async def close(self) -> None:
        for server in self.servers:
            await server.shutdown(0)
            assert not server.connections
            assert not server.tasks
        for mux in self.muxes:
            mux.abort()
            await mux.wait_closed()


async def connect(one: asyncio.BaseProtocol, other: asyncio.BaseProtocol) -> asyncio.Transport:
    """Join two protocols by a pair of sockets, and return the first one's transport."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    await loop.create_connection(lambda: other, sock=theirs)
    transport, _ = await loop.create_connection(lambda: one, sock=ours)
    return transport
