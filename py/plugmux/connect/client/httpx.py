"""Calls over the `AsyncClient` of httpx or httpx2, whichever the user has. This module imports neither."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from ...errors import BodyTooLarge, ExchangeError
from ...exchange import Headers, Request, Response

__all__ = ["HttpxTransport", "package_of"]


class HttpxTransport:
    """A `ClientTransport` over an `httpx.AsyncClient` that has a `base_url`.

    It reaches HTTP/1.1 and HTTP/2 servers. On HTTP/1.1 httpx sends the whole request before it reads the response, so
    that streams both ways are half duplex.

    Args:
        client: the client, which the caller closes.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        # httpx and httpx2 have their own exception classes.
        self._package = sys.modules[package_of(type(client)) or "httpx"]

    async def fetch(self, request: Request, limit: int) -> Response:
        """Send the request and return its whole response."""
        try:
            async with asyncio.timeout(request.timeout):
                incoming = await self._send(request)
                try:
                    body = bytearray()
                    async for chunk in incoming:
                        body += chunk
                        if len(body) > limit:
                            raise BodyTooLarge(len(body), limit)
                finally:
                    await incoming.aclose()
        except self._package.TransportError as error:
            raise self._to_exchange_error(error) from error
        return Response(incoming.status, incoming.headers, bytes(body))

    async def send(self, request: Request) -> _HttpxResponse:
        """Send the request and return its response when the head has arrived."""
        try:
            async with asyncio.timeout(request.timeout):
                return await self._send(request)
        except self._package.TransportError as error:
            raise self._to_exchange_error(error) from error

    async def _send(self, request: Request) -> _HttpxResponse:
        fields = list(request.headers)
        if not any(name == b"accept-encoding" for name, _ in fields):
            fields.append(
                (b"accept-encoding", b"identity")
            )  # otherwise httpx would offer compressions, and decompress the body itself
        client = self._client
        outgoing = client.build_request(
            request.method,
            request.path.lstrip("/"),
            headers=fields,
            content=request.body if request.method == "POST" else None,
            timeout=None,
        )
        return _HttpxResponse(
            await client.send(outgoing, stream=True), self._to_exchange_error, self._package.TransportError
        )

    def _to_exchange_error(self, error: Exception) -> ExchangeError:
        never_sent = isinstance(
            error, (self._package.ConnectError, self._package.ConnectTimeout, self._package.UnsupportedProtocol)
        )
        return ExchangeError(f"{type(error).__name__}: {error}", sent=not never_sent)


class _HttpxResponse:
    """A response of httpx as a `StreamingResponse`."""

    def __init__(self, response: Any, to_exchange_error: Any, transport_error: type[Exception]) -> None:
        self._response = response
        self._to_exchange_error = to_exchange_error
        self._transport_error = transport_error

    @property
    def status(self) -> int:
        status: int = self._response.status_code
        return status

    @property
    def headers(self) -> Headers:
        return [(name.lower(), value) for name, value in self._response.headers.raw]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except self._transport_error as error:
            raise self._to_exchange_error(error) from error

    async def aclose(self) -> None:
        await self._response.aclose()


def package_of(kind: type) -> str | None:
    """The package that defines a class of client: `"httpx"`, `"httpx2"`, or `None` for neither."""
    packages = (base.__module__.partition(".")[0] for base in kind.__mro__)
    return next((package for package in packages if package in {"httpx", "httpx2"}), None)
