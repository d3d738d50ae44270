"""Connect calls whose messages are JSON on both ends, so that no schema is needed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable

from ..connect import Code, RpcError
from ..connect.envelope import END_STREAM, EnvelopeReader, EnvelopeTooLarge, envelope
from ..connect.error import error_from_json
from ..connect.negotiation import timeout_field
from ..contract.nesting import TooDeep, parse_json
from ..exchange import ClientTransport, Request

__all__ = ["WrongKind", "call_stream", "call_unary"]

LIMIT = 64 << 20
"""Bytes that one message may have."""

OK = 200
UNSUPPORTED_MEDIA_TYPE = 415
HTTP_VERSION_NOT_SUPPORTED = 505
"""How connect-go refuses a method with streams both ways, before it runs: it takes HTTP/1.1 for too old."""
PROTOCOL = (b"connect-protocol-version", b"1")


class WrongKind(RpcError):
    """The method is not of the kind that it was called as, and so has not been called."""


async def call_unary(
    transport: ClientTransport, path: str, request: object, timeout: float | None = None
) -> tuple[object] | None:
    """The answer of a unary method; `None` where the method is not one, and so has not been called.

    Args:
        transport: the way to the server.
        path: of the method.
        request: as JSON.
        timeout: seconds that the server is told to have.

    Raises:
        RpcError: the call failed.
    """
    headers = [(b"content-type", b"application/json"), PROTOCOL, *_timeout(timeout)]
    response = await transport.fetch(Request(path, headers, _encoded(request)), LIMIT)
    if response.status in (UNSUPPORTED_MEDIA_TYPE, HTTP_VERSION_NOT_SUPPORTED):
        return None
    if response.status != OK:
        raise _error(response.status, response.body)
    return (_parsed(response.body),)


async def call_stream(
    transport: ClientTransport,
    path: str,
    requests: Iterable[object] | AsyncIterable[object],
    timeout: float | None = None,
) -> AsyncIterator[object]:
    """The answers of a method that takes or gives a stream, as they come.

    Args:
        transport: the way to the server.
        path: of the method.
        requests: what to send: all of it first, or each as an asynchronous iterable gives it.
        timeout: seconds that the server is told the call may take.

    Raises:
        WrongKind: the method is unary.
        RpcError: the call failed.
    """
    headers = [(b"content-type", b"application/connect+json"), PROTOCOL, *_timeout(timeout)]
    body: bytes | AsyncIterator[bytes]
    if isinstance(requests, AsyncIterable):
        body = _envelopes(requests)
    else:
        body = b"".join(envelope(_encoded(request)) for request in requests)
    response = await transport.send(Request(path, headers, body))
    try:
        if response.status == UNSUPPORTED_MEDIA_TYPE:
            raise WrongKind(Code.UNKNOWN, "the server refused the content type of a stream, with HTTP status 415")
        if response.status == HTTP_VERSION_NOT_SUPPORTED:
            raise RpcError(Code.UNIMPLEMENTED, "the method streams both ways, and its server does not over HTTP/1.1")
        if response.status != OK:
            raise _error(response.status, b"".join([chunk async for chunk in response])[:LIMIT])
        reader = EnvelopeReader(LIMIT)
        async for chunk in response:
            for flags, data in reader.feed(chunk):
                if flags & END_STREAM:
                    _end(data)
                    return
                yield _parsed(data)
    except EnvelopeTooLarge as error:
        raise RpcError(Code.RESOURCE_EXHAUSTED, f"a message of {error.size} bytes was announced") from None
    finally:
        await response.aclose()
    raise RpcError(Code.INTERNAL, "the stream broke off before its end")


def _timeout(seconds: float | None) -> list[tuple[bytes, bytes]]:
    return [] if seconds is None else [timeout_field(seconds)]


async def _envelopes(requests: AsyncIterable[object]) -> AsyncIterator[bytes]:
    async for request in requests:
        yield envelope(_encoded(request))


def _encoded(request: object) -> bytes:
    return json.dumps(request).encode()


def _end(data: bytes) -> None:
    end = _parsed(data)
    if isinstance(end, dict) and end.get("error") is not None:
        raise error_from_json(end["error"], Code.UNKNOWN)


def _error(status: int, body: bytes) -> RpcError:
    try:
        return error_from_json(parse_json(body.decode()), Code.from_http(status))
    except ValueError:
        text = body.decode("utf-8", "replace").strip()
        return RpcError(Code.from_http(status), text or f"HTTP status {status}")


def _parsed(data: bytes) -> object:
    try:
        return parse_json(data.decode())
    except TooDeep as error:
        raise RpcError(Code.INTERNAL, f"the answer cannot be read: {error}") from None
    except ValueError:
        raise RpcError(Code.INTERNAL, "the answer is not JSON") from None
