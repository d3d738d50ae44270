"""One connection between two peers: yamux, with an HTTP server and an HTTP client on its streams, both ways.

     app ── http.Server ──┐
                          ├── yamux.Mux ── any asyncio transport ── the peer
    transport ── streams ─┘

A link has no sides but the parity of its stream ids (`initiator`). It does not assume that its peer is on this machine
or has a pid: whatever is known of the peer stands in its `Peer`. (wire.md section 1.)
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeVar

from ..aio.closing import end_within, shielded
from ..aio.forks import lose_in_children
from ..aio.pipes import open_pipe_pair
from ..errors import SessionClosed, StateError
from ..exchange import ASGIApp, ClientTransport
from ..http import Server, StreamClient, upgrade
from ..yamux import Config, MemoryPool, Mux
from .app import STREAM_PREFIX, STREAM_PROTOCOL, LinkApp
from .raw import RawStreamReader
from .references import CleanUp, Loan, References, new_reference
from .remote import Remote
from .servable import Servable, services_of

if TYPE_CHECKING:
    import httpx

    from ..connect import Context

__all__ = ["Link", "Peer"]

CLOSE_TIMEOUT = 2.0
OPEN_TIMEOUT = 10.0

AnyClient = TypeVar("AnyClient", covariant=True)


class ClientFactory(Protocol[AnyClient]):
    """A generated client class."""

    def __call__(self, transport: ClientTransport, /, **options: Any) -> AnyClient: ...


class Peer(NamedTuple):
    """Who is at the other end of a link, as far as it is known.

    Args:
        name: what messages call the peer; a plugin's name once it is known.
        pid: its process id, where the peer is a process on this machine and the kernel or a launch told.
        uid: its user id, likewise.
    """

    name: str
    pid: int | None = None
    uid: int | None = None


class Link:
    """One connection between two peers, on which both serve and both call.

    Args:
        app: the ASGI app that this end serves, as a rule a `LinkApp`.
        initiator: whether this end opens odd stream ids, as the plugin always does.
        peer: who is at the other end.
        config: the settings of the mux; the defaults are those of the wire.
        pool: what the link shares with others of its event loop, such as a limit of memory.
        registered: whether the peer has registered, or need not. Where it has not, it gets little memory and few
            streams, until `mark_registered`.

    Closing a link from any task, in any order and more than once is harmless. As an asynchronous context manager it
    is closed at the end of the block.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        initiator: bool,
        peer: Peer,
        config: Config | None = None,
        pool: MemoryPool | None = None,
        registered: bool = True,
    ) -> None:
        self.peer = peer
        self.mux = Mux(client=initiator, config=config, pool=pool, registered=registered)
        self.transport: ClientTransport = StreamClient(self.mux.open)
        self.references = References()
        self._interceptors = app.interceptors if isinstance(app, LinkApp) else ()
        self._server = Server(app)
        self.mux.listen(self._accept)
        lose_in_children(self)

    def _accept(self) -> asyncio.BaseProtocol:
        return self._server.protocol(link=self, peer=self.peer, references=self.references)

    async def over_socket(self, sock: socket.socket) -> Self:
        """Run the link over a connected stream socket, which then belongs to the link, also when this fails."""
        loop = asyncio.get_running_loop()
        try:
            sock.setblocking(False)
            if sock.family == socket.AF_UNIX:
                await loop.create_unix_connection(lambda: self.mux, sock=sock)
            else:
                await loop.create_connection(lambda: self.mux, sock=sock)
        except BaseException:
            sock.close()
            raise
        return self

    async def over_pipes(self, read_fd: int, write_fd: int) -> Self:
        """Run the link over two one-way pipes, which then belong to the link, also when this fails.

        Closing either closes both.
        """
        try:
            reading = os.fdopen(read_fd, "rb", 0)
        except BaseException:
            os.close(write_fd)
            raise
        try:
            writing = os.fdopen(write_fd, "wb", 0)
        except BaseException:
            reading.close()
            raise
        await open_pipe_pair(lambda: self.mux, reading, writing)
        return self

    def mark_registered(self) -> None:
        """Let the peer have the memory and the streams of one that has registered."""
        self.mux.mark_registered()

    def client(self, client_class: Callable[..., AnyClient], **options: Any) -> AnyClient:
        """A client of a service that the peer serves.

        Args:
            client_class: a generated client class.
            options: what the class takes beside the transport (limits, interceptors, codec).
        """
        return client_class(self.transport, **options)

    def lend(self, *servables: Servable, on_release: CleanUp | None = None) -> Loan:
        """Let the peer call an object of this end's, which nobody else can.

        Args:
            servables: the services of the object, which the interceptors of this end run around as well.
            on_release: awaited once when the object has been withdrawn or released, or the link has ended.

        Returns:
            The loan; its `reference` goes into a message.

        Raises:
            ConfigError: an object cannot be served.
            SessionClosed: the link has ended.
        """
        if self.mux.closed:
            raise SessionClosed(f"the link to {self.peer.name} has ended: nothing can be lent on it")
        reference = new_reference()
        self.references.lend(reference, LinkApp(services_of(servables), interceptors=self._interceptors), on_release)
        return Loan(reference, [self.references])

    def borrow(self, reference: str) -> Remote:
        """An object that the peer has lent.

        Args:
            reference: what stood in its message.
        """
        return Remote(reference, self.transport)

    @classmethod
    def of(cls, context: Context) -> Link:
        """The link on which a call has come.

        Args:
            context: the second argument of the handler.

        Raises:
            StateError: the call did not come over a link, but over a plain connection.
        """
        link = context.connection.get("link")
        if not isinstance(link, cls):
            raise StateError("this call did not come over a link: only a runtime and its plugins have one")
        return link

    def httpx(self) -> httpx.AsyncBaseTransport:
        """A transport for `httpx.AsyncClient(transport=link.httpx(), base_url="http://unix")` to the peer's app."""
        from ..http import MuxTransport

        return MuxTransport(self.mux.open)

    async def open_stream(
        self, name: str, *, timeout: float = OPEN_TIMEOUT
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a raw stream to the endpoint that the peer serves under `name`.

        Args:
            name: the name of the endpoint.
            timeout: seconds to wait for the peer's answer.

        Returns:
            A reader and a writer; `writer.write_eof()` half-closes, `writer.close()` ends the stream.

        Raises:
            ExchangeError: the peer serves no such endpoint, or the exchange broke.
            SessionClosed: the link has ended.
            TimeoutError: the peer did not answer in time.
        """
        from urllib.parse import quote  # a plugin starts without it

        reader = RawStreamReader()
        transport, protocol = await upgrade(
            self.mux.open,
            STREAM_PREFIX + quote(name, safe=""),
            [(b"upgrade", STREAM_PROTOCOL)],
            lambda: asyncio.StreamReaderProtocol(reader),
            timeout,
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())

    async def ping(self) -> float:
        """Measure the round-trip time to the peer, in seconds."""
        return await self.mux.ping()

    @property
    def closed(self) -> bool:
        """Whether the link has ended."""
        return self.mux.closed

    @property
    def reason(self) -> BaseException | None:
        """Why the link has ended; `None` while it has not, or when it ended in order."""
        return self.mux.reason

    async def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Refuse new streams, let the open ones end, and close.

        Args:
            timeout: seconds that open streams are given; what is open then is cut off.

        The last bytes then have 10 s at most, handlers that were cancelled 3 s, and the clean-up behind lent objects
        8 s. When the calling task is cancelled, the link is closed to the end, and the cancellation raised then.
        """
        await shielded(self._close(timeout, asyncio.current_task()))

    async def _close(self, timeout: float, caller: asyncio.Task[Any] | None) -> None:
        async with AsyncExitStack() as last:  # Each is done whatever becomes of those before it.
            last.push_async_callback(self.references.close)
            last.push_async_callback(self._server.shutdown, 0, caller=caller)
            last.push_async_callback(self.mux.close)
            with suppress(TimeoutError, SessionClosed):
                if not self.closed:
                    self.mux.go_away()
                async with asyncio.timeout(timeout):
                    await self.mux.wait_idle()

    async def startup(self) -> None:
        """Begin the lifespan of the ASGI app; closing the link ends it.

        Raises:
            PlugmuxError: the app says that it cannot start.
        """
        await self._server.startup()

    async def drain(self, timeout: float, *, but: asyncio.Task[Any] | None = None) -> None:
        """Refuse new streams, and wait for the handlers of those that are open.

        Args:
            timeout: seconds that they are given; what goes on then is cancelled.
            but: a handler that is not waited for, such as the calling one.
        """
        with suppress(SessionClosed):
            self.mux.go_away()
        await end_within(timeout, self._server.handlers(but))

    def descriptors(self) -> list[int]:
        """The descriptors that carry the link."""
        ends = [self.mux.get_extra_info(name) for name in ("socket", "pipe", "reading_pipe")]
        return [end.fileno() for end in ends if end is not None]

    def serves(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether a task is one of the handlers that answer the peer's requests on this link."""
        return task in self._server.tasks

    def abort(self, reason: BaseException | None = None) -> None:
        """End the link at once; every stream and every waiter is told `reason`."""
        self.mux.abort(reason)

    async def wait_closed(self) -> None:
        """Wait until the link has ended, for whatever reason."""
        await self.mux.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Link to {self.peer.name} {'closed' if self.closed else 'open'}>"
