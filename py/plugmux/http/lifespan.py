"""The lifespan of an ASGI app: one task that tells the app when the server starts and ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..aio.closing import end_within
from ..errors import PlugmuxError
from ..exchange import ASGIApp

__all__ = ["Lifespan"]

logger = logging.getLogger("plugmux.http")

LIFESPAN_SHUTDOWN_TIME = 10.0
"""Seconds that an app is given for the end of its lifespan."""


class Lifespan:
    """Runs the lifespan protocol with one app; an app that does not support it is left alone.

    Args:
        app: the ASGI app.

    Attributes:
        state: what the app puts here is copied into the scope of every request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._received = 0
        self._stopping = asyncio.Event()
        self._started: asyncio.Future[None]
        self._stopped: asyncio.Future[None]
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Tell the app to start, and wait until it has, or until its call ends because it does not know the protocol.

        Raises:
            PlugmuxError: the app says that it cannot start.
        """
        loop = asyncio.get_running_loop()
        self._started, self._stopped = loop.create_future(), loop.create_future()
        self._task = asyncio.create_task(self._run(), name="plugmux: lifespan")
        try:
            await asyncio.wait((self._task, self._started), return_when=asyncio.FIRST_COMPLETED)
            if self._started.done():
                self._started.result()
        except BaseException:
            await self._end(self._task)
            raise

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve a request with a copy of the state, for an app that several servers share."""
        await self._app({**scope, "state": self.state.copy()}, receive, send)

    async def shutdown(self, timeout: float = LIFESPAN_SHUTDOWN_TIME) -> None:
        """Tell the app to end, and wait until it has. Whatever fails in the app is logged.

        Args:
            timeout: seconds that the app is given, 10 by default; then its lifespan is cancelled. It is also cancelled
                when the calling task is.
        """
        if self._task is None:
            return
        task = self._task
        try:
            self._stopping.set()
            done, _ = await asyncio.wait((task, self._stopped), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                logger.error("the app's lifespan did not end within %g s, and is cancelled", timeout)
        finally:
            await self._end(task)

    async def _end(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if await end_within(0, [task]):
            logger.error("the app's lifespan goes on although it was cancelled, and is left behind")

    async def _run(self) -> None:
        scope: dict[str, Any] = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            if self._started.done():
                logger.exception("the app's lifespan failed")
            else:
                logger.info("the app has no lifespan: %r", error)

    async def _receive(self) -> MutableMapping[str, Any]:
        self._received += 1
        if self._received == 1:
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        if self._received > 2:
            await asyncio.Event().wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        match message["type"]:
            case "lifespan.startup.complete" if not self._started.done():
                self._started.set_result(None)
            case "lifespan.startup.failed" if not self._started.done():
                reason = message.get("message", "")
                self._started.set_exception(PlugmuxError(f"the app's lifespan did not start: {reason}"))
            case "lifespan.shutdown.complete" if not self._stopped.done():
                self._stopped.set_result(None)
            case "lifespan.shutdown.failed" if not self._stopped.done():
                logger.error("the app's lifespan did not end well: %s", message.get("message", ""))
                self._stopped.set_result(None)
            case kind:
                raise RuntimeError(f"the app sent {kind!r} out of order in its lifespan")
