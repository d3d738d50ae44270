"""Raw streams between a host in Python and plugins in every language, opened from either end."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest
from kv.v1.kv_pb2 import GetRequest

from plugmux.errors import ExchangeError, StreamReset
from support.probe import Probe

pytestmark = pytest.mark.asyncio(loop_scope="module")  # The probe runs for all of them.

DATA = random.Random(1).randbytes(3 * 1024 * 1024 + 1)


async def test_what_is_sent_comes_back_while_it_is_still_being_sent(probe: Probe) -> None:
    reader, writer = await probe.link.open_stream("echo")

    async def send() -> None:
        for start in range(0, len(DATA), 50_000):
            writer.write(DATA[start : start + 50_000])
            await writer.drain()
        writer.write_eof()

    sending = asyncio.ensure_future(send())
    assert hashlib.sha256(await reader.read()).digest() == hashlib.sha256(DATA).digest()
    await sending
    writer.close()


async def test_an_answer_can_follow_the_callers_half_close(probe: Probe) -> None:
    reader, writer = await probe.link.open_stream("sha256")
    writer.write(DATA)
    writer.write_eof()
    assert (await reader.read()).decode() == hashlib.sha256(DATA).hexdigest()
    writer.close()


async def test_a_plugin_opens_a_stream_of_its_host(probe: Probe) -> None:
    assert (await probe.kv.get(GetRequest(key="open shout"))).value == b"HELLO"


async def test_a_name_that_the_plugin_does_not_serve_is_told(probe: Probe) -> None:
    with pytest.raises(ExchangeError, match=r"404.*no raw stream is served under the name .nothing"):
        await probe.link.open_stream("nothing")


async def test_a_name_that_the_host_does_not_serve_is_told(probe: Probe) -> None:
    answer = (await probe.kv.get(GetRequest(key="open nothing"))).value.decode()
    assert answer.startswith("refused: ")
    assert "no raw stream is served under the name 'nothing'" in answer


async def test_a_reset_by_the_caller_leaves_the_link_alone(probe: Probe) -> None:
    reader, writer = await probe.link.open_stream("echo")
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    writer.transport.abort()


async def test_a_reset_by_the_plugin_is_told_from_an_end(probe: Probe) -> None:
    if probe.language == "go":
        return  # hashicorp/yamux has no call that resets a stream
    reader, writer = await probe.link.open_stream("reset")
    writer.write(b"x")
    with pytest.raises(StreamReset):
        await reader.read()
    writer.close()
