"""One connection between two peers: yamux, with an HTTP server and an HTTP client on its streams.

     app ── http.Server ──┐
                          ├── yamux.Mux ── any asyncio transport ── the peer
    transport ── streams ─┘

The two ends of a link differ only in the parity of their stream ids (`initiator`). A link does not assume that its peer
is on this machine or has a process id: what is known of the peer is in its `Peer`. (docs/wire.md section 1.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeVar

from ..aio.closing import end_within, shielded
from ..aio.forks import lose_in_children
from ..aio.pipes import open_pipes, open_stream
from ..errors import SessionClosed, StateError
from ..exchange import ASGIApp, ClientTransport
from ..http import Server, StreamClient, upgrade
from ..platform import LocalStream, UserId
from ..yamux import Config, MemoryPool, Mux
from .app import STREAM_PREFIX, STREAM_PROTOCOL, LinkApp
from .raw import RawStreamReader
from .references import CleanUp, Loan, References, new_reference
from .remote import RemoteObject
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
    """What is known of the peer at the other end of a link.

    Args:
        name: the name of the peer in messages; for a plugin its name, once it is known.
        pid: its process id, if it is a process on this machine and the kernel or the launch has told it.
        uid: its user id, likewise.
        identity: who it is by its certificate, if it is on another machine: a SPIFFE id or a DNS name.
        address: its address in the network, likewise.
    """

    name: str
    pid: int | None = None
    uid: UserId | None = None
    identity: str = ""
    address: str = ""


class Link:
    """One connection between two peers. Both ends serve, and both ends call.

    Args:
        app: the ASGI app that this end serves, as a rule a `LinkApp`.
        initiator: whether this end opens the odd stream ids, as the plugin always does.
        peer: what is known of the peer.
        config: the settings of the mux; the defaults are those of the wire contract.
        pool: the limits that the link shares with other links of its event loop, such as that of memory.
        registered: whether the peer has registered, or need not. A peer that has not gets little memory and few
            streams until `mark_registered`.

    Attributes:
        debug: whether errors of the handlers of this end carry their traceback to the peer.

    A link may be closed from any task, and more than once. As an asynchronous context manager it closes at the end of
    the block.
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
        self.debug = False
        self._interceptors = app.interceptors if isinstance(app, LinkApp) else ()
        self._server = Server(app)
        self.mux.listen(self._accept)
        lose_in_children(self)

    def _accept(self) -> asyncio.BaseProtocol:
        return self._server.protocol(link=self, peer=self.peer, references=self.references)

    async def over_socket(self, sock: LocalStream) -> Self:
        """Run the link over a connected stream socket or named pipe. The link closes it, also if this fails."""
        await open_stream(lambda: self.mux, sock)
        return self

    async def over_pipes(self, read_fd: int, write_fd: int) -> Self:
        """Run the link over two one-way pipes (on Windows handles), which the link closes, also if this fails.

        When the peer closes either pipe, the link ends.
        """
        await open_pipes(lambda: self.mux, read_fd, write_fd)
        return self

    def mark_registered(self) -> None:
        """Give the peer the memory and the streams of one that has registered."""
        self.mux.mark_registered()

    def client(self, client_class: Callable[..., AnyClient], **options: Any) -> AnyClient:
        """A client of a service that the peer serves.

        Args:
            client_class: a generated client class.
            options: what the class takes besides the transport (limits, interceptors, codec).
        """
        return client_class(self.transport, **options)

    def lend(self, *servables: Servable, on_release: CleanUp | None = None) -> Loan:
        """Lend an object of this end to the peer, which alone can then call it.

        Args:
            servables: the services of the object; the interceptors of this end run around their calls.
            on_release: awaited once, when the object has been withdrawn or released, or the link has ended.

        Returns:
            The loan, whose `reference` is sent to the peer in a message.

        Raises:
            ConfigError: an object cannot be served.
            SessionClosed: the link has ended.
        """
        if self.mux.closed:
            raise SessionClosed(f"the link to {self.peer.name} has ended: nothing can be lent on it")
        reference = new_reference()
        self.references.lend(reference, LinkApp(services_of(servables), interceptors=self._interceptors), on_release)
        return Loan(reference, [self.references])

    def borrow(self, reference: str) -> RemoteObject:
        """An object that the peer has lent.

        Args:
            reference: the reference that the peer has sent in a message.
        """
        return RemoteObject(reference, self.transport)

    @classmethod
    def of(cls, context: Context) -> Link:
        """The link over which a call has arrived.

        Args:
            context: the second argument of the handler.

        Raises:
            StateError: the call has arrived over a connection that is not a link.
        """
        link = context.connection.get("link")
        if not isinstance(link, cls):
            raise StateError("this call has not arrived over a link: only a runtime and its plugins have one")
        return link

    def httpx(self) -> httpx.AsyncBaseTransport:
        """A transport for `httpx.AsyncClient(transport=link.httpx(), base_url="http://unix")` to the peer's app."""
        from ..http import MuxTransport

        return MuxTransport(self.mux.open)

    async def open_stream(
        self, name: str, *, timeout: float = OPEN_TIMEOUT
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a raw stream to an endpoint of the peer.

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
        from urllib.parse import quote  # imported here, because most plugins never need it

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
        """Why the link has ended; `None` while it is open, and if it was closed in order."""
        return self.mux.reason

    async def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Refuse new streams, wait for the open ones to end, and close.

        Args:
            timeout: seconds to wait for open streams; those that are open then are reset.

        After that, sending the last bytes takes at most 10 s, the end of cancelled handlers 3 s, and the clean-up of
        lent objects 8 s. If the calling task is cancelled, the link is closed first and the cancellation raised then.
        """
        await shielded(self._close(timeout, asyncio.current_task()))

    async def _close(self, timeout: float, caller: asyncio.Task[Any] | None) -> None:
        async with AsyncExitStack() as last:  # Each callback runs even if one before it fails.
            last.push_async_callback(self.references.close)
            last.push_async_callback(self._server.shutdown, 0, caller=caller)
            last.push_async_callback(self.mux.close)
            with suppress(TimeoutError, SessionClosed):
                if not self.closed:
                    self.mux.go_away()
                async with asyncio.timeout(timeout):
                    await self.mux.wait_idle()

    async def startup(self) -> None:
        """Start the lifespan of the ASGI app, which ends when the link is closed.

        Raises:
            PlugmuxError: the app has reported that it cannot start.
        """
        await self._server.startup()

    async def drain(self, timeout: float, *, but: asyncio.Task[Any] | None = None) -> None:
        """Refuse new streams, and wait for the handlers of the open ones.

        Args:
            timeout: seconds to wait; handlers that have not ended then are cancelled.
            but: a handler not to wait for, such as the calling one.
        """
        with suppress(SessionClosed):
            self.mux.go_away()
        await end_within(timeout, self._server.handlers(but))

    @property
    def app(self) -> ASGIApp:
        """The app that this end serves. Requests that have arrived before it is set go on with the one before."""
        return self._server.app

    @app.setter
    def app(self, app: ASGIApp) -> None:
        self._server.app = app
        self._server.fast_path = getattr(app, "fast_path", None)

    def descriptors(self) -> list[int]:
        """The file descriptors that the link runs over."""
        ends = [self.mux.get_extra_info(name) for name in ("socket", "pipe", "reading_pipe")]
        return [end.fileno() for end in ends if end is not None]

    def serves(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether a task is a handler of one of the peer's requests on this link."""
        return task in self._server.tasks

    def abort(self, reason: BaseException | None = None) -> None:
        """End the link at once; all its streams and all who wait for it fail with `reason`."""
        self.mux.abort(reason)

    async def wait_closed(self) -> None:
        """Wait until the link has ended, for any reason."""
        await self.mux.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Link to {self.peer.name} {'closed' if self.closed else 'open'}>"
