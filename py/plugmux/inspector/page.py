"""The app that a browser talks to: the files of the page, its own service, and those of the runtime that it may use."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from functools import cached_property
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from ..connect import App, Service
from ..exchange import ClientTransport, Receive, Response, Scope, Send
from ..link.app import respond
from ..link.forward import forward
from .access import Access, Refused

__all__ = ["Page"]

TYPES = {
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "svg": b"image/svg+xml",
}

FORWARDED = frozenset(
    {
        "plugins.v1.PluginManagementService",
        "plugmux.v1.RuntimeService",
    }
)
"""The services of the runtime that the page uses as they are: none of them gives a secret. All other calls go through
the inspector's own service, which masks."""

HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        b"trusted-types 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]

ENTER = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={path}">'
    '<title>plugmux</title><a href="{path}">Open the inspector</a>'
)
"""What exchanges the token: a page that goes on by itself. A redirect would not do, since a browser does not send a
cookie that is strictly of the same site along a redirect that began elsewhere."""


class Page:
    """An ASGI app for one browser.

    Args:
        access: says who may use it.
        transport: the way to the runtime.
        services: services of the inspector itself.
    """

    def __init__(self, access: Access, transport: ClientTransport, services: list[Service]) -> None:
        self._access = access
        self._transport = transport
        self._rpc = App(services)
        self._own = {service.spec.name for service in services}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._rpc(scope, receive, send)
            return
        try:
            self._access.check_origin(scope["method"], scope["headers"])
            if scope["path"] == "/":
                await _answer(send, 200, *self._enter(scope))
                return
            self._access.check_session(scope["headers"])
            path = self._within(scope["path"])
            service, _, method = path.partition("/")
            if not method:
                await _answer(send, 200, *self._file(path))
            elif service in self._own:
                await self._rpc({**scope, "path": f"/{path}", "raw_path": f"/{path}".encode()}, receive, _safe(send))
            elif service in FORWARDED:
                inner = {**scope, "path": f"/{path}", "raw_path": f"/{path}".encode(), "headers": _own(scope)}
                await forward(self._transport, inner, receive, _safe(send))
            else:
                raise Refused(404, "there is nothing at this address")
        except Refused as refused:
            await _answer(send, refused.status, TYPES["html"], f"<!doctype html><p>{refused}".encode())

    def _enter(self, scope: Scope) -> tuple[bytes, bytes, bytes]:
        """The page that goes on to that of the session, with the session's cookie."""
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[-1]
        cookie = self._access.exchange(token)
        return TYPES["html"], ENTER.format(path=self._access.path).encode(), cookie.encode()

    def _within(self, path: str) -> str:
        """A path without that of the session.

        Raises:
            Refused: it is not of the session.
        """
        if not path.startswith(self._access.path):
            raise Refused(404, "there is nothing at this address")
        return path[len(self._access.path) :]

    def _file(self, name: str) -> tuple[bytes, bytes]:
        """The type and the content of a file of the page.

        Raises:
            Refused: there is none of that name.
        """
        content = self._files.get(name or "index.html")
        if content is None:
            raise Refused(404, "there is nothing at this address")
        return TYPES[(name or "index.html").rpartition(".")[2]], content

    @cached_property
    def _files(self) -> Mapping[str, bytes]:
        """The files of the page, which Vite has built."""
        return {
            file.name: file.read_bytes()
            for file in (files(__package__) / "static").iterdir()
            if file.name.rpartition(".")[2] in TYPES
        }


def _own(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The fields of a request that the runtime is to see: what the browser tells of itself is not its business."""
    told = {b"cookie", b"origin", b"referer", b"user-agent"}
    return [(name, value) for name, value in scope["headers"] if name not in told and not name.startswith(b"sec-")]


def _safe(send: Send) -> Send:
    """Send a response with the fields that keep it within the page."""

    async def safe_send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await send(message)

    return safe_send


async def _answer(send: Send, status: int, media_type: bytes, body: bytes, cookie: bytes = b"") -> None:
    headers = [(b"content-type", media_type), *HEADERS, *([(b"set-cookie", cookie)] if cookie else [])]
    await respond(send, Response(status, headers, body))
