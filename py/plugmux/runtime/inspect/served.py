"""What plugins call of the host, counted while somebody watches: an app around the app of each link."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from ...connect import Code
from ...exchange import ASGIApp, FastPathCall, Receive, RequestHead, Response, Scope, Send
from ...link.app import HEALTH, STREAM_PREFIX
from .call import CallCounter, ObservedCall
from .outcome import StreamScanner, is_stream, outcome_of_error

if TYPE_CHECKING:
    from ...link.link import Link

__all__ = ["ServedCalls"]


class ServedCalls:
    """An ASGI app with a fast path that counts the calls of one plugin, and leaves all else to the link's own app.

    Args:
        link: the link to the plugin.
        observer: counts the calls.
    """

    def __init__(self, link: Link, observer: CallCounter) -> None:
        self._link = link
        self._app = link.app
        self._fast_path = getattr(link.app, "fast_path", None)
        self._observer = observer

    def remove(self) -> None:
        """Let the link serve its own app again."""
        self._link.app = self._app

    def fast_path(self, head: RequestHead) -> FastPathCall | None:
        """What the app's own fast path gives."""
        call: FastPathCall | None = None if self._fast_path is None else self._fast_path(head)
        return None if call is None else _CountedCall(call, self._observer, self._link.peer.name, head.path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == HEALTH or scope["path"].startswith(STREAM_PREFIX):
            await self._app(scope, receive, send)
        else:
            await _count(self._app, scope, receive, send, self._observer, self._link.peer.name)


class _CountedCall:
    """A unary call of a plugin, from when its body is there."""

    __slots__ = ("_call", "_caller", "_observer", "_path")

    def __init__(self, call: FastPathCall, observer: CallCounter, caller: str, path: str) -> None:
        self._call = call
        self._observer = observer
        self._caller = caller
        self._path = path

    @property
    def limit(self) -> int:
        return self._call.limit

    @property
    def deadline(self) -> float | None:
        return self._call.deadline

    async def complete(self, body: bytes) -> Response:
        call = ObservedCall(self._observer, self._caller, self._path, body)
        call.sent_to("")
        try:
            response = await self._call.complete(body)
        except BaseException as error:
            call.failed(error)
            raise
        call.answered(response)
        return response

    def expired(self) -> Response:
        return self._call.expired()

    def too_large(self, size: int) -> Response:
        return self._call.too_large(size)


async def _count(app: ASGIApp, scope: Scope, receive: Receive, send: Send, observer: CallCounter, caller: str) -> None:
    call = ObservedCall(observer, caller, scope["path"], b"")
    call.sent_to("")
    scanner = StreamScanner(0, stream=False)

    async def counted_receive() -> MutableMapping[str, Any]:
        message = await receive()
        call.request_bytes += len(message.get("body", b""))
        return message

    async def counted_send(message: MutableMapping[str, Any]) -> None:
        nonlocal scanner
        if message["type"] == "http.response.start":
            scanner = StreamScanner(message["status"], stream=is_stream(message.get("headers", ())))
            call.stream = scanner.stream
        elif message["type"] == "http.response.body":
            scanner.feed(message.get("body", b""))
        await send(message)

    try:
        await app(scope, counted_receive, counted_send)
    except BaseException as error:
        call.end(scanner.size, *outcome_of_error(error, Code.INTERNAL))
        raise
    call.end(scanner.size, *scanner.outcome)
