"""Raw streams of a link."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from plugmux.link.app import LinkApp
from plugmux.link.link import Link, Peer


class Panic(BaseException):
    """As extension modules raise: no `Exception`."""


@pytest.mark.parametrize("failure", [ZeroDivisionError, Panic])
async def test_a_handler_that_fails_resets_its_stream_alone_and_is_logged_once(
    failure: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):
            raise failure("by zero")

    near = Link(LinkApp(), initiator=True, peer=Peer("the host"))
    far = Link(LinkApp(streams={"x": serve}), initiator=False, peer=Peer("the plugin"))
    ends = socket.socketpair()
    async with await near.over_socket(ends[0]), await far.over_socket(ends[1]):
        reader, writer = await near.open_stream("x")
        writer.write(b"1")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        reader, writer = await near.open_stream("x")
        writer.close()
        await writer.wait_closed()
    (record,) = caplog.records
    assert (record.levelno, record.message) == (logging.ERROR, "GET /stream/x failed")
    assert "by zero" in caplog.text
