"""An HTTP/1.1 server for any ASGI 3 app on any asyncio transport: mux stream, unix socket, TCP, TLS.

The server owns what its connections share: the app, the limits, the tasks of the handlers and the shutdown. It opens
no sockets: `loop.create_unix_server(server.protocol)`, `mux.listen(server.protocol)` and the like do.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, cast

from ..aio.closing import CLEAN_UP_TIME, end_within, shielded
from ..aio.deadline import cancel_once
from ..exchange import ASGIApp, FastPathApp, FastPathCall, RequestHead
from .connection import ServerConnection
from .heads import HeadCache
from .lifespan import Lifespan
from .serving import ConnectionTimeouts, HttpLimits

__all__ = ["Server"]

logger = logging.getLogger("plugmux.http")

DEFAULT_LIMITS = HttpLimits()
EAGERLY: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
SHUTDOWN_TIME = 30.0
"""Seconds that requests under way are given when a server shuts down."""


class Server:
    """Serves an ASGI 3 app over HTTP/1.1.

    Args:
        app: the app. If it has a fast path (`exchange.FastPathApp`), requests go there first.
        limits: what each connection is allowed.
        lifespan: whether `startup` and `shutdown` speak the lifespan protocol with the app; an app that does not know
            it is left alone.

    Failures of the app are logged with their traceback under `plugmux.http`; the caller learns only that it was 500.
    """

    def __init__(
        self, app: ASGIApp | FastPathApp, *, limits: HttpLimits = DEFAULT_LIMITS, lifespan: bool = True
    ) -> None:
        self.app = app
        self.fast_path: Callable[[RequestHead], FastPathCall | None] | None = getattr(app, "fast_path", None)
        self.limits = limits
        self.closing = False
        self.connections: set[ServerConnection] = set()
        self.tasks: set[asyncio.Task[None] | None] = set()
        self.cache = HeadCache()
        self.timeouts = ConnectionTimeouts(limits, ServerConnection.expired)
        self._with_lifespan = lifespan
        self._lifespan: Lifespan | None = None
        self._connection_ended: asyncio.Event | None = None

    @property
    def state(self) -> dict[str, Any] | None:
        """What the app's lifespan left for its requests; `None` without a lifespan."""
        return None if self._lifespan is None else self._lifespan.state

    def protocol(self, **connection: object) -> asyncio.Protocol:
        """Make the protocol for one connection; the transport that it is given to becomes the server's.

        Args:
            connection: what is known about the connection; apps find it in `RequestHead.connection` and in
                `scope["extensions"]["plugmux.connection"]`.
        """
        return cast("asyncio.Protocol", ServerConnection(self, connection))

    async def startup(self) -> None:
        """Run the startup of the app's lifespan, if it has one.

        Raises:
            PlugmuxError: the app says that it cannot start.
        """
        if self._with_lifespan and self._lifespan is None:
            self._lifespan = Lifespan(self.app)
            await self._lifespan.startup()

    async def shutdown(self, timeout: float | None = SHUTDOWN_TIME, *, caller: asyncio.Task[Any] | None = None) -> None:
        """End in order: refuse new requests, let those under way finish, close every connection, end the lifespan.

        From here on a request is answered with 503 and idle connections are closed. It may be called more than once,
        and from a handler: that one goes on, and its connection ends behind its response.

        Args:
            timeout: seconds that handlers are given, 30 by default; then they are cancelled and connections aborted.
                `None` waits for as long as they take.
            caller: the task to leave out, the calling one by default.

        A handler that does not end within 3 s after it was cancelled is logged and left behind; the app's lifespan has
        10 s for its shutdown. When the calling task is cancelled, handlers are cancelled at once; the rest is done to
        the end, and the cancellation raised then.
        """
        self.closing = True
        caller = caller or asyncio.current_task()
        for connection in tuple(self.connections):
            connection.close_if_idle()
        try:
            async with asyncio.timeout(timeout):
                await self._finished(caller)
        except TimeoutError:
            pass
        finally:
            await shielded(self._abort_connections(caller))

    def start(self, work: Coroutine[Any, Any, None], *, eagerly: bool = False) -> asyncio.Task[None]:
        """Start the task of an exchange, which `shutdown` awaits (`serving.ExchangeHost`)."""
        task = asyncio.Task(work, loop=asyncio.get_running_loop(), **(EAGERLY if eagerly else {}))
        if not task.done():
            self.tasks.add(task)
        return task

    def cancel(self, task: asyncio.Task[None]) -> None:
        """Cancel the task of an exchange, even one that has not had its first turn yet (`serving.ExchangeHost`)."""
        task.add_done_callback(self.tasks.discard)
        cancel_once(task)

    def connection_ended(self) -> None:
        """A connection has left `connections` (called by connections)."""
        if self._connection_ended is not None:
            self._connection_ended.set()

    async def _finished(self, caller: asyncio.Task[Any] | None) -> None:
        while tasks := self.handlers(caller):
            await asyncio.wait(tasks)
        if not self.tasks:
            await self._connections_ended(set())

    async def _connections_ended(self, but: set[ServerConnection]) -> None:
        ended = self._connection_ended = self._connection_ended or asyncio.Event()
        while self.connections - but:
            ended.clear()
            await ended.wait()

    async def _abort_connections(self, caller: asyncio.Task[Any] | None) -> None:
        callers = {connection for connection in self.connections if connection.serves(caller)}
        for connection in self.connections - callers:
            connection.abort()
        try:
            for task in await end_within(0, self.handlers(caller)):
                logger.error("%s goes on although it was cancelled, and is left behind", task.get_coro())
            with suppress(TimeoutError):
                async with asyncio.timeout(CLEAN_UP_TIME):
                    await self._connections_ended(callers)
        finally:
            self.timeouts.clear()
            if self._lifespan is not None:
                await self._lifespan.shutdown()

    def handlers(self, but: asyncio.Task[Any] | None = None) -> set[asyncio.Task[None]]:
        """The tasks that answer requests now, but for one."""
        return {task for task in self.tasks if task is not None and task is not but and not task.done()}
