"""Whatever bytes come, no protocol raises, nothing hangs, and memory stays bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugmux.errors import BodyTooLarge, ExchangeError
from plugmux.exchange import Request
from plugmux.http import HttpLimits, Server, StreamClient, upgrade
from support.http_peers import EchoCall, FastPathEcho, Wire, echo, join

FRAGMENTS = [
    b"GET / HTTP/1.1\r\n",
    b"POST /x?y HTTP/1.1\r\n",
    b"HEAD * HTTP/1.0\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Host: a\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 99999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: tcp\r\n",
    b"Expect: 100-continue\r\n",
    b"\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"ffffffff\r\n",
    b"\n",
    b"\x00",
    b"\xff\xfe",
    b"abc",
]
data = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=40)), max_size=20)
ending = st.sampled_from(["eof", "close", "abort"])
few = settings(max_examples=150)


def run(scenario: Any) -> None:
    """Run a scenario that must end by itself and leave the event loop nothing to complain of."""

    async def main() -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(10):
            await scenario()
        assert complaints == []
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def end(wire: Wire, how: str) -> None:
    if how == "eof":
        wire.transport.write_eof()
    getattr(wire.transport, "abort" if how == "abort" else "close")()


@pytest.mark.parametrize("app", [echo, FastPathEcho(EchoCall(limit=2))], ids=["asgi", "fast path"])
@given(data=data, how=ending)
@few
def test_a_server_survives_any_bytes(app: Any, data: list[bytes], how: str) -> None:
    async def scenario() -> None:
        server = Server(app, limits=HttpLimits(buffer_bytes=100), lifespan=False)
        wire = Wire()
        transport = join(wire, server.protocol())
        for piece in data:
            wire.send(piece)
            await asyncio.sleep(0)
            connection: Any = transport.peer.protocol
            assert len(connection._rest) < 1000
        end(wire, how)
        await wire.until_lost()
        await server.shutdown(0)
        assert not server.connections
        assert not server.tasks

    run(scenario)


@pytest.mark.parametrize("how_asked", ["fetch", "send", "upgrade"])
@given(data=data, how=ending)
@few
def test_a_caller_survives_any_bytes(how_asked: str, data: list[bytes], how: str) -> None:
    async def ask(wire: Wire) -> None:
        client = StreamClient(lambda protocol: join(protocol, wire))
        try:
            if how_asked == "fetch":
                await client.fetch(Request("/"), 100)
            elif how_asked == "send":
                incoming = await client.send(Request("/"))
                async for _ in incoming:
                    pass
            else:
                transport, _ = await upgrade(lambda protocol: join(protocol, wire), "/", (), Wire, 5)
                transport.abort()
        except (ExchangeError, BodyTooLarge):
            pass

    async def scenario() -> None:
        wire = Wire()
        asking = asyncio.ensure_future(ask(wire))
        await wire.until(b"\r\n\r\n")
        for piece in data:
            wire.send(piece)
            await asyncio.sleep(0)
        end(wire, how)
        await asking
        await wire.until_lost()

    run(scenario)
