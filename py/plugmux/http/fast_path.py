"""The fast path: a whole request in, a whole response out, with nothing of ASGI in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..aio.failure import is_failure
from ..exchange import FastPathCall, RequestHead, Response
from .body import Buffer, Pieces, compact, keep
from .fields import plain_answer
from .heads import Head
from .serving import Connection

__all__ = ["FastPathExchange"]

logger = logging.getLogger("plugmux.http")


class FastPathExchange:
    """One request that the app answers on its fast path.

    Args:
        connection: where the request came, and the response goes.
        request: the request's head.
        call: what the app's fast path gave for it.
        head: what the head says of the body.
    """

    __slots__ = ("_call", "_connection", "_pieces", "_request", "_size", "_timer", "task")

    collects = True
    response_started = False

    def __init__(self, connection: Connection, request: RequestHead, call: FastPathCall, head: Head) -> None:
        self._connection = connection
        self._request = request
        self._call = call
        self._pieces: Pieces = []
        self._size = 0
        self.task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if head.length is not None and head.length > call.limit:
            self._refuse(call.too_large, head.length)
        elif head.expects_continue:
            connection.write_continue()

    def feed(self, data: Buffer) -> None:
        self._size += len(data)
        if self._size > self._call.limit:
            self._pieces.clear()
            self._refuse(self._call.too_large, self._size)
        elif self._pieces:
            keep(self._pieces, data)
        else:
            self._pieces.append(data)

    def wait(self) -> None:
        compact(self._pieces)
        self._connection.hold(self._size)
        if self._timer is None and self._call.deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(self._call.deadline, self._refuse, self._call.expired)

    def end(self) -> None:
        self._stop_timer()
        body = b"".join(self._pieces)
        self._pieces.clear()
        if self._connection.kept:
            self._connection.hold(0)
        self.task = self._connection.server.start(self._answer(body), eagerly=True)

    def disconnect(self) -> None:
        self._stop_timer()
        if self.task is not None:
            self._connection.server.cancel(self.task)

    async def _answer(self, body: bytes) -> None:
        connection = self._connection
        try:
            connection.respond(await self._call.complete(body))
        except BaseException as error:
            if not is_failure(error):
                connection.fail()
                raise
            self._failed()
        finally:
            connection.server.tasks.discard(self.task)
            self.task = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _refuse(self, answer: Callable[..., Response], *arguments: int) -> None:
        self._stop_timer()
        try:
            self._connection.respond(answer(*arguments))
        except Exception:
            self._failed()

    def _failed(self) -> None:
        logger.exception("%s %s failed", self._request.method, self._request.path)
        self._connection.respond(plain_answer(500))
