"""TLS on a stream, by asyncio's own `start_tls`."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from plugmux.errors import LinkError
from support.tls import contexts as contexts
from support.yamux_links import Recorder, mux_pair

SIZE = 1_000_000


class Upgrading(asyncio.Protocol):
    """Answers a greeting in the clear, goes on under TLS, and sends back what comes then."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._upgraded: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if self._upgraded is None:
            assert data == b"STARTTLS"
            self._transport.write(b"go on")
            self._upgraded = asyncio.create_task(self._upgrade())
        else:
            self._transport.write(data)

    def eof_received(self) -> None:
        self._transport.close()

    async def _upgrade(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._transport = await loop.start_tls(self._transport, self, self._context, server_side=True)
        except (ssl.SSLError, LinkError):
            self._transport = None  # the client has refused us


async def greeted(client: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader = asyncio.StreamReader()
    transport, protocol = await client.create_connection(lambda: asyncio.StreamReaderProtocol(reader))
    writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
    writer.write(b"STARTTLS")
    assert await reader.readexactly(5) == b"go on"
    return reader, writer


async def test_start_tls_takes_a_stream(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with mux_pair(listen=lambda: Upgrading(contexts[0])) as (client, server):
        reader, writer = await greeted(client)
        await writer.start_tls(contexts[1], server_hostname="localhost")
        assert writer.get_extra_info("cipher")
        writer.write(bytes(range(250)) * (SIZE // 250))
        assert await reader.readexactly(SIZE) == bytes(range(250)) * (SIZE // 250)
        writer.close()
        await writer.wait_closed()
        await client.wait_idle()
        await server.wait_idle()


async def test_a_handshake_that_fails_resets_the_stream_and_nothing_else(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async with mux_pair(listen=lambda: Upgrading(contexts[0])) as (client, server):
        _, writer = await greeted(client)
        with pytest.raises(ssl.SSLCertVerificationError):
            await writer.start_tls(ssl.create_default_context(), server_hostname="localhost")
        await client.wait_idle()
        await server.wait_idle()
        assert await client.ping() > 0


async def test_a_transport_that_tls_gives_up_tells_its_protocol_why() -> None:
    async with mux_pair() as (client, _):
        recorder = Recorder()
        transport = client.open(recorder)
        transport._force_close(ConnectionError("a record is wrong"))
        await recorder.lost
        assert str(recorder.error) == "a record is wrong"
