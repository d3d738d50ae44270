"""What the parts of the server share: the limits, and what a server, a connection and an exchange ask of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ..aio.timeouts import TimeoutQueue
from ..bounds import check_numbers
from ..exchange import ASGIApp, FastPathApp, FastPathCall, RequestHead, Response
from .body import Buffer
from .heads import HeadCache

__all__ = ["Connection", "Exchange", "ExchangeHost", "HttpLimits", "ConnectionTimeouts"]

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What an HTTP server allows each connection.

    Args:
        head_bytes: size of a request's head, in bytes; more is answered with 431.
        head_seconds: time for a request's head, from the opening of the connection or the head's first byte; an
            unfinished head is then answered with 408.
        idle_seconds: time that a connection may stay open without a new request.
        body_seconds: time without any progress while the server itself collects a request's body (on the fast path);
            then 408. An ASGI app that waits for a body sets its own limit.
        buffer_bytes: how much of a body, or of pipelined requests, is read ahead of the app. Memory per connection
            stays below this plus one read of the transport.
        write_seconds: time that a caller may take nothing of a response that is sent to it; then the connection is
            aborted.
        linger_seconds: how long the rest of a request that no one reads is discarded after the response, so that the
            caller can still read the response.

    Raises:
        ConfigError: a number is below 0, or a size below 1.
    """

    head_bytes: int = 64 * 1024
    head_seconds: float = 15.0
    idle_seconds: float = 75.0
    body_seconds: float = 60.0
    buffer_bytes: int = 64 * 1024
    write_seconds: float = 300.0
    linger_seconds: float = 2.0

    def __post_init__(self) -> None:
        check_numbers(self, {"head_bytes": 1, "buffer_bytes": 1})


class ConnectionTimeouts(Generic[C]):
    """The timeouts of all connections of a server: a connection is in one of the queues at a time, or in none.

    Args:
        limits: the times.
        expired: is called with a connection whose time is over.
    """

    __slots__ = ("bodies", "heads", "idle", "lingering", "writes")

    def __init__(self, limits: HttpLimits, expired: Callable[[C], None]) -> None:
        self.heads = TimeoutQueue(limits.head_seconds, expired)
        self.idle = TimeoutQueue(limits.idle_seconds, expired)
        self.bodies = TimeoutQueue(limits.body_seconds, expired)
        self.lingering = TimeoutQueue(limits.linger_seconds, expired)
        self.writes = TimeoutQueue(limits.write_seconds, expired)

    def clear(self) -> None:
        """Stop the time of every connection."""
        for queue in (self.heads, self.idle, self.bodies, self.lingering, self.writes):
            queue.clear()


class ExchangeHost(Protocol):
    """What connections and exchanges ask of their server.

    Attributes:
        app: the app.
        fast_path: the app's fast path; `None` if it has none.
        limits: what each connection is allowed.
        closing: whether the server takes no new requests.
        cache: heads of requests that were read before.
        tasks: the tasks of the exchanges.
    """

    app: ASGIApp | FastPathApp
    fast_path: Callable[[RequestHead], FastPathCall | None] | None
    limits: HttpLimits
    closing: bool
    cache: HeadCache
    tasks: set[asyncio.Task[None] | None]

    @property
    def state(self) -> dict[str, Any] | None:
        """What the app's lifespan left for its requests; `None` without a lifespan."""

    def start(self, work: Coroutine[Any, Any, None], *, eagerly: bool = False) -> asyncio.Task[None]:
        """Start the task of an exchange, which the server awaits when it shuts down.

        Args:
            work: what the task does.
            eagerly: whether the task runs to its first wait within this call, where Python can do that; a handler that
                waits for nothing then costs no turn of the loop.
        """
        ...

    def cancel(self, task: asyncio.Task[None]) -> None:
        """Cancel the task of an exchange, even one that has not had its first turn yet."""


class Connection(Protocol):
    """What an exchange asks of its connection.

    Attributes:
        transport: the transport.
        kept: bytes of the request under way that are kept, as `hold` was told last.
    """

    transport: asyncio.Transport
    kept: int

    @property
    def server(self) -> ExchangeHost:
        """Whose connection it is."""
        ...

    @property
    def must_close(self) -> bool:
        """Whether the connection ends with the response under way."""
        ...

    def hold(self, size: int) -> None:
        """Report to the transport what is kept: `size` bytes of the request under way, and all that came behind it."""

    def pause_reading(self) -> None:
        """Stop taking bytes from the peer."""

    def resume_reading(self) -> None:
        """Take bytes from the peer again."""

    def write_continue(self) -> None:
        """Send 100 (Continue) to a peer that waits for it before it sends the body."""

    def respond(self, response: Response) -> None:
        """Write a whole response and go on; it is dropped if the caller has gone.

        Raises:
            ConfigError: the response has a field or a status that cannot be sent; nothing has been written.
        """

    async def drain(self) -> None:
        """Wait until the transport takes more.

        Raises:
            StreamReset: the caller has gone.
        """

    def finish(self, *, close: bool) -> None:
        """The response has been written to its end: read the next request, or end the connection."""

    def fail(self) -> None:
        """The response has begun and cannot be completed."""

    def upgrade(
        self, factory: Callable[[], asyncio.BaseProtocol], head: bytes
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Give the connection to another protocol, after `head` has been written.

        Raises:
            StreamReset: the caller has gone, or still sends its request.
        """
        ...


class Exchange(Protocol):
    """One request and its response: what a connection asks of an exchange.

    Attributes:
        task: in which it is answered, once that has begun and until it has ended.
    """

    task: asyncio.Task[None] | None

    @property
    def collects(self) -> bool:
        """Whether the body is collected here, under the server's own timeout, and not by an app."""
        ...

    @property
    def response_started(self) -> bool:
        """Whether any of the response has been written, so that no other can be."""
        ...

    def feed(self, data: Buffer) -> None:
        """Bytes of the request's body have come."""

    def wait(self) -> None:
        """More of the body is still to come."""

    def end(self) -> None:
        """The request is whole."""

    def disconnect(self) -> None:
        """The caller has gone, or the connection is lost: the task is cancelled."""
