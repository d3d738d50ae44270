"""One request by ASGI 3: the scope, and the two channels between the app and the connection.

What an app may send depends on what it has sent before: `_EXPECTED` is that table, and a message out of order is
reported with the state that it came in. What the app receives comes from a buffer; when the buffer is full, the
connection stops reading. (ASGI specification, HTTP connection scope, version 2.4.)
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ..aio.failure import is_failure
from ..errors import StreamReset
from ..exchange import Headers, RequestHead
from .body import Buffer, Pieces, keep
from .fields import CHUNKED, ChunkWriter, content_length, encode_fields, plain_answer, response_head
from .heads import Head
from .serving import Connection

__all__ = ["ASGIExchange", "Message"]

Message: TypeAlias = MutableMapping[str, Any]

logger = logging.getLogger("plugmux.http")

ASGI = {"version": "3.0", "spec_version": "2.4"}
START = "http.response.start"
BODY = "http.response.body"


class RequestState(enum.Enum):
    """How far the app has read the request."""

    OPEN = enum.auto()  # more of the body will come
    WHOLE = enum.auto()  # the body is here, the app has not seen its end
    READ = enum.auto()  # the app has seen the end
    DISCONNECTED = enum.auto()  # the caller has gone


class ResponseState(enum.Enum):
    """How far the app has answered."""

    __hash__ = object.__hash__  # that of `Enum` is a function of Python's, and each message of a stream looks one up

    NOTHING = enum.auto()
    STARTED = enum.auto()  # the app has given the head, which is written with the first of the body
    BEGUN = enum.auto()  # the head is written
    COMPLETE = enum.auto()
    UPGRADED = enum.auto()  # the app has taken the connection over


_EXPECTED = {
    ResponseState.NOTHING: START,
    ResponseState.STARTED: BODY,
    ResponseState.BEGUN: BODY,
    ResponseState.COMPLETE: None,
    ResponseState.UPGRADED: None,
}


class ASGIExchange:
    """One request that an ASGI app answers.

    Args:
        connection: where the request came, and the response goes.
        request: the request's head.
        head: what the head says of the connection. A caller that waits for 100 (Continue) gets it when the app asks
            for the body; one that offers to change the protocol lets the app find `plugmux.upgrade`.
    """

    collects = False

    def __init__(self, connection: Connection, request: RequestHead, head: Head) -> None:
        self._connection = connection
        self._request = request
        self._version = head.version
        self._expects_continue = head.expects_continue
        self._request_state = RequestState.OPEN
        self._response_state = ResponseState.NOTHING
        self._pieces: Pieces = []
        self._size = 0
        self._held_by_app = 0
        self._changed = asyncio.Event()
        self._status = 0
        self._headers: Headers = ()
        self._chunks: ChunkWriter | None = None
        self._missing: int | None = None
        self._close = False
        self.task: asyncio.Task[None] | None = connection.server.start(self._run(upgradable=head.upgrade is not None))

    # What the connection calls

    @property
    def response_started(self) -> bool:
        return self._response_state is not ResponseState.NOTHING and self._response_state is not ResponseState.STARTED

    def feed(self, data: Buffer) -> None:
        keep(self._pieces, data)
        self._size += len(data)
        self._connection.hold(self._size + self._held_by_app)
        if self._size > self._connection.server.limits.buffer_bytes:
            self._connection.pause_reading()
        self._expects_continue = False
        self._changed.set()

    def wait(self) -> None:
        """Nothing: the app waits as long as it likes."""

    def end(self) -> None:
        self._request_state = RequestState.WHOLE
        self._changed.set()

    def disconnect(self) -> None:
        self._request_state = RequestState.DISCONNECTED
        self._changed.set()
        self._pieces.clear()
        if self._chunks is not None:
            self._chunks.drop()
        if self.task is not None:
            self._connection.server.cancel(self.task)

    # What the app calls

    async def receive(self) -> Message:
        """Give the next message to the app: `http.request` or `http.disconnect`."""
        if (
            self._expects_continue
            and self._response_state is ResponseState.NOTHING
            and self._request_state is RequestState.OPEN
        ):
            self._expects_continue = False
            self._connection.write_continue()
        while True:
            if self._request_state is RequestState.DISCONNECTED or _EXPECTED[self._response_state] is None:
                return {"type": "http.disconnect"}
            if self._pieces or self._request_state is RequestState.WHOLE:
                return self._take()
            self._changed.clear()
            await self._changed.wait()

    def _take(self) -> Message:
        body = b"".join(self._pieces)
        self._pieces.clear()
        if self._size:
            self._size = 0
            self._connection.hold(self._held_by_app)
        more = self._request_state is RequestState.OPEN
        if more:
            self._connection.resume_reading()
        else:
            self._request_state = RequestState.READ
        return {"type": "http.request", "body": body, "more_body": more}

    async def send(self, message: Message) -> None:
        """Take a message from the app.

        Raises:
            StreamReset: the caller has gone.
            RuntimeError: the message is out of order, or its body does not fit the length that the app announced.
            ConfigError: a header field or the status cannot be sent.
        """
        if self._request_state is RequestState.DISCONNECTED:
            raise StreamReset("the caller has gone: nothing can be sent to it any more")
        kind = message["type"]
        if kind != _EXPECTED[self._response_state]:
            expected = _EXPECTED[self._response_state] or "nothing more"
            raise RuntimeError(
                f"the app sent {kind!r} in state {self._response_state.name}, where {expected} is expected"
            )
        if kind == START:
            self._start(message)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        self._write(body, more=more)
        if more:
            await self._connection.drain()
        else:
            self._response_state = ResponseState.COMPLETE
            self._changed.set()
            self._connection.finish(close=self._close)

    def _start(self, message: Message) -> None:
        status = message["status"]
        headers = [(name, value) for name, value in message.get("headers", ()) if name.lower() != b"transfer-encoding"]
        encode_fields(headers)
        if not 200 <= status < 600:
            raise RuntimeError(f"the app started a response with status {status!r}, which is not a final one")
        self._status, self._headers = status, headers
        self._response_state = ResponseState.STARTED

    def _write(self, body: bytes, *, more: bool) -> None:
        if self._chunks is not None:
            write = self._chunks.write if more else self._chunks.end
            write(body)
            return
        head = self._head(None if more else len(body)) if self._response_state is ResponseState.STARTED else b""
        if self._bodiless:
            body = b""
        elif self._missing is not None:
            self._missing -= len(body)
            if self._missing < 0 or (self._missing and not more):
                raise RuntimeError("the response's body does not have the length of its content-length")
        self._response_state = ResponseState.BEGUN
        if self._chunks is not None:  # since `_head`, and so more will come
            self._chunks.write(body, head)
        elif head or body:
            self._connection.transport.write(head + body if head else body)

    @property
    def _bodiless(self) -> bool:
        return self._request.method == "HEAD" or self._status in (204, 304)

    def _head(self, length: int | None) -> bytes:
        """The head of the response; `length` is the size of the body where the first message is also the last."""
        names = {name.lower(): value for name, value in self._headers}
        framing = b""
        if b"content-length" in names:
            self._missing = int(names[b"content-length"])
        elif length is not None and not (self._bodiless and not length):
            self._missing = length
            framing = content_length(length) if self._status != 204 else b""
        elif self._bodiless:
            pass
        elif self._version >= b"1.1":
            self._chunks = ChunkWriter(self._connection.transport.write)
            framing = CHUNKED
        else:
            self._close = True
        asked_to_close = b"close" in names.get(b"connection", b"").lower()
        # A caller who is answered before its request has ended may never end it: the connection goes with the response.
        self._close = (
            self._close or asked_to_close or self._connection.must_close or self._request_state is RequestState.OPEN
        )
        return response_head(
            self._status,
            encode_fields(self._headers),
            framing,
            close=self._close and not asked_to_close,
            dated=b"date" in names,
        )

    async def _upgrade(
        self, factory: Callable[[], asyncio.BaseProtocol], headers: Headers = ()
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Take the connection over (`scope["extensions"]["plugmux.upgrade"]`).

        The app's call should stay pending until the new protocol's connection has ended; the server awaits the call
        when it shuts down.

        Args:
            factory: makes the protocol that takes the connection over.
            headers: fields of the 101, with `upgrade`.

        Returns:
            The transport and the protocol, after `connection_made` and with the bytes that came behind the request.

        Raises:
            StreamReset: the caller has gone.
            RuntimeError: the app has sent something already, or the request's body is not here.
        """
        if self._request_state is RequestState.DISCONNECTED:
            raise StreamReset("the caller has gone: its connection cannot be upgraded")
        if self._response_state is not ResponseState.NOTHING:
            raise RuntimeError(f"an upgrade comes before any response, not in state {self._response_state.name}")
        head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n" + encode_fields(headers) + b"\r\n"
        upgraded = self._connection.upgrade(factory, head)
        self._response_state = ResponseState.UPGRADED
        return upgraded

    def _hold(self, size: int) -> None:
        """Count what the app keeps of the body that it was given (`scope["extensions"]["plugmux.hold"]`).

        Args:
            size: bytes that it keeps now; this replaces the number that was reported before.
        """
        if size != self._held_by_app and self._request_state is not RequestState.DISCONNECTED:
            self._held_by_app = size
            self._connection.hold(self._size + size)

    # The task

    def _scope(self, *, upgradable: bool) -> Message:
        request, connection = self._request, self._connection
        transport = connection.transport
        sockname = transport.get_extra_info("sockname")
        # The app may hold the request back, but the time of the call runs from its head.
        began = asyncio.get_running_loop().time()
        extensions: dict[str, object] = {
            "plugmux.connection": request.connection,
            "plugmux.began": began,
            "plugmux.hold": self._hold,
        }
        if upgradable:
            extensions["plugmux.upgrade"] = self._upgrade
        scope: Message = {
            "type": "http",
            "asgi": dict(ASGI),
            "http_version": self._version.decode("ascii"),
            "method": request.method,
            "scheme": "http" if transport.get_extra_info("cipher") is None else "https",
            "path": _unquoted(request.path),
            "raw_path": request.path.encode("ascii"),
            "query_string": request.query,
            "root_path": "",
            "headers": request.headers,
            "client": _host_and_port(transport.get_extra_info("peername")),
            "server": (sockname, None) if isinstance(sockname, str) and sockname else _host_and_port(sockname),
            "extensions": extensions,
        }
        if connection.server.state is not None:
            scope["state"] = connection.server.state.copy()
        return scope

    async def _run(self, *, upgradable: bool) -> None:
        name = f"{self._request.method} {self._request.path}"
        app: Callable[..., Awaitable[None]] = self._connection.server.app
        try:
            await app(self._scope(upgradable=upgradable), self.receive, self.send)
            if _EXPECTED[self._response_state] is not None and self._request_state is not RequestState.DISCONNECTED:
                logger.error(
                    "%s returned in state %s, before its response was complete", name, self._response_state.name
                )
        except BaseException as error:
            if not is_failure(error):
                self._conclude(cancelled=True)
                raise
            if not (self._request_state is RequestState.DISCONNECTED and isinstance(error, StreamReset)):
                logger.exception("%s failed", name)
        finally:
            self._conclude(cancelled=False)
            self._connection.server.tasks.discard(self.task)
            self.task = None  # an ended task keeps the app's frames, and so its iterators, alive by its error

    def _conclude(self, *, cancelled: bool) -> None:
        """Whatever became of the app, the caller is not left without an answer, or with half of one unnoticed."""
        if self._request_state is RequestState.DISCONNECTED or _EXPECTED[self._response_state] is None:
            return
        begun = self.response_started
        self._response_state = ResponseState.COMPLETE
        self._changed.set()
        if begun or cancelled:
            if self._chunks is not None:
                self._chunks.drop()
            self._connection.fail()
        else:
            self._connection.respond(plain_answer(500))


def _host_and_port(name: object) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) and len(name) >= 2 else None


def _unquoted(path: str) -> str:
    """A path without percent encoding; most have none."""
    if "%" not in path:
        return path
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("utf-8", "replace")
