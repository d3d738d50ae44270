"""A `ClientTransport` to an ASGI app in the same event loop, with no HTTP between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from plugmux.errors import BodyTooLarge, ExchangeError
from plugmux.exchange import Headers, Request, RequestHead, Response

END = object()


class MemoryTransport:
    """Carries requests to an app; unary ones by its fast path, if it has one and `fast` is not switched off."""

    def __init__(self, app: Any, *, fast: bool = True, connection: dict[str, object] | None = None) -> None:
        self.app = app
        self.is_fast = fast
        self.connection = connection or {}
        self.requests: list[Request] = []

    async def fetch(self, request: Request, limit: int) -> Response:
        async with asyncio.timeout(request.timeout):
            if self.is_fast and hasattr(self.app, "fast_path"):
                path, _, query = request.path.partition("?")
                head = RequestHead(request.method, path, query.encode(), list(request.headers), self.connection)
                call = self.app.fast_path(head)
                if call is not None:
                    assert isinstance(request.body, bytes)
                    self.requests.append(request)
                    too_large = len(request.body) > call.limit
                    reply = call.too_large(len(request.body)) if too_large else await call.complete(request.body)
                    if len(reply.body) > limit:
                        raise BodyTooLarge(len(reply.body), limit)
                    return Response(reply.status, reply.headers, reply.body)
            incoming = await self.send(request)
            try:
                body = b"".join([chunk async for chunk in incoming])
            finally:
                await incoming.aclose()
        if len(body) > limit:
            raise BodyTooLarge(len(body), limit)
        return Response(incoming.status, incoming.headers, body)

    async def send(self, request: Request) -> MemoryIncoming:
        self.requests.append(request)
        incoming = MemoryIncoming(self, request)
        try:
            await incoming.head
        except BaseException:
            await incoming.aclose()
            raise
        return incoming


class MemoryIncoming:
    """Runs the app for one request, and gives its response."""

    def __init__(self, transport: MemoryTransport, request: Request) -> None:
        path, _, query = request.path.partition("?")
        scope = {
            "type": "http",
            "method": request.method,
            "path": path,
            "query_string": query.encode(),
            "headers": list(request.headers),
            "extensions": {"plugmux.connection": transport.connection},
        }
        self.status = 0
        self.headers: Headers = []
        self.head: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._body = self._chunks(request)
        self._body_ended = False
        self._left = asyncio.Event()
        self._out: asyncio.Queue[Any] = asyncio.Queue(maxsize=4)
        self._task = asyncio.ensure_future(self._run(transport.app, scope))

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        if isinstance(request.body, bytes):
            yield request.body
        else:
            async for chunk in request.body:
                yield chunk

    async def _receive(self) -> dict[str, Any]:
        if self._left.is_set():
            return {"type": "http.disconnect"}
        if not self._body_ended:
            step = asyncio.ensure_future(anext(self._body, END))
            left = asyncio.ensure_future(self._left.wait())
            try:
                await asyncio.wait((step, left), return_when=asyncio.FIRST_COMPLETED)
            finally:
                left.cancel()
                if not step.done():
                    step.cancel()
                await asyncio.wait((step, left))
            if not step.cancelled() and step.exception() is None:
                chunk = step.result()
                self._body_ended = chunk is END
                return {"type": "http.request", "body": b"" if chunk is END else chunk, "more_body": chunk is not END}
            if not step.cancelled() and not self.head.done():
                self.head.set_exception(ExchangeError("the body broke", sent=True))
        else:
            await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, event: dict[str, Any]) -> None:
        if self._left.is_set():
            return
        if event["type"] == "http.response.start":
            self.status, self.headers = event["status"], event["headers"]
            self.head.set_result(None)
            return
        if event.get("body"):
            await self._out.put(event["body"])
        if not event.get("more_body"):
            await self._out.put(END)

    async def _run(self, app: Any, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            if not self.head.done():
                self.head.set_exception(ExchangeError("the app ended without a response", sent=True))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._out.get()) is not END:
            yield chunk

    async def aclose(self) -> None:
        self._left.set()
        while not self._out.empty():
            self._out.get_nowait()
        await asyncio.wait((self._task,))
        await self._body.aclose()  # type: ignore[attr-defined]  # a generator
        if self.head.done() and not self.head.cancelled():
            self.head.exception()
        self._task.result()
