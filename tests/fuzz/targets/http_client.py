"""Any bytes as the response to a request: a response or an `ExchangeError`, and the connection ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fuzz.loop import pieces, run
from plugmux.errors import BodyTooLarge, ExchangeError
from plugmux.exchange import Request
from plugmux.http import StreamClient, upgrade
from support.http_peers import Wire, join


def check(data: bytes) -> None:
    """The first byte chooses how the request is made, the second the size of the pieces."""
    run(_ask(data[:1], pieces(data[1:])))


async def _ask(how: bytes, data: list[bytes]) -> None:
    wire = Wire()
    asking = asyncio.ensure_future(_request(wire, how))
    await wire.until(b"\r\n\r\n")
    for piece in data:
        wire.send(piece)
        await asyncio.sleep(0)
    wire.transport.write_eof()
    wire.transport.close()
    await asking
    await wire.until_lost()


async def _request(wire: Wire, how: bytes) -> None:
    client = StreamClient(lambda protocol: join(protocol, wire))
    with suppress(ExchangeError, BodyTooLarge):
        if how < b"\x40":
            transport, _ = await upgrade(lambda protocol: join(protocol, wire), "/", (), Wire, 5)
            transport.abort()
        elif how < b"\x80":
            await client.fetch(Request("/"), 100)
        else:
            async for _ in await client.send(Request("/")):
                pass
