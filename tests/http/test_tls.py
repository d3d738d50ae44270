"""The server and the client over TLS."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from plugmux.errors import ExchangeError
from plugmux.exchange import Request
from plugmux.http import SocketClient
from support.http_peers import EchoCall, FastPathEcho, Harness, echo
from support.tls import contexts as contexts


async def listen(harness: Harness, app: Any, context: ssl.SSLContext) -> tuple[asyncio.Server, str]:
    server = harness.server(app)
    listening = await asyncio.get_running_loop().create_server(server.protocol, "localhost", 0, ssl=context)
    return listening, f"https://localhost:{listening.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("app", [echo, FastPathEcho()], ids=["asgi", "fast path"])
async def test_requests_and_responses_cross(harness: Harness, contexts: Any, app: Any) -> None:
    listening, address = await listen(harness, app, contexts[0])
    client = SocketClient(address, ssl_context=contexts[1])
    for body in (b"", b"hello", bytes(500_000)):
        assert (await client.fetch(Request("/", body=body), 1 << 20)).body == body
    listening.close()
    await listening.wait_closed()


async def test_the_app_sees_https(harness: Harness, contexts: Any) -> None:
    schemes: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        schemes.append(scope["scheme"])
        await echo(scope, receive, send)

    listening, address = await listen(harness, app, contexts[0])
    await SocketClient(address, ssl_context=contexts[1]).fetch(Request("/"), 1)
    assert schemes == ["https"]
    listening.close()
    await listening.wait_closed()


async def test_an_early_refusal_reaches_the_caller_without_a_half_close(harness: Harness, contexts: Any) -> None:
    listening, address = await listen(harness, FastPathEcho(EchoCall(limit=10)), contexts[0])
    response = await SocketClient(address, ssl_context=contexts[1]).fetch(Request("/", body=bytes(3_000_000)), 100)
    assert response.status == 413
    listening.close()
    await listening.wait_closed()


async def test_a_certificate_that_nobody_vouches_for_is_refused(harness: Harness, contexts: Any) -> None:
    listening, address = await listen(harness, echo, contexts[0])
    with pytest.raises(ExchangeError, match="certificate verify failed") as caught:
        await SocketClient(address).fetch(Request("/"), 1)
    assert not caught.value.sent
    listening.close()
    await listening.wait_closed()
