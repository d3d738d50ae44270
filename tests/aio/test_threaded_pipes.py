"""Two pipes as a transport, each served by a thread: what a plugin has on Windows, here with pipes of Unix."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from plugmux.aio.pipes.threads import HIGH_WATER, ThreadedPipes, open_threaded_pipes
from plugmux.http import Server
from plugmux.yamux import Mux


class Descriptors:
    """Pipes by descriptors, whose reads and writes block."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        self.closed = False

    def read(self, size: int) -> bytes:
        return os.read(self.reading, size)

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self.writing, left) :]

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self.writing)  # The other is closed by the test: a thread may be reading from it.


class Recorder(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.received = b""
        self.told: list[str] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.news = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.news.set()

    def eof_received(self) -> bool:
        self.told.append("end")
        return False

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")
        self.news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.lost.set_result(exc)


class Ends:
    """A transport, and the peer's ends of its pipes."""

    def __init__(self, *, writes: bool = True) -> None:
        reading, their_writing = os.pipe()
        their_reading, writing = os.pipe()
        self.their_reading = os.fdopen(their_reading, "rb", 0)
        self.their_writing = os.fdopen(their_writing, "wb", 0)
        self.pipes = Descriptors(reading, writing)
        self.protocol = Recorder()
        self.transport: ThreadedPipes = open_threaded_pipes(lambda: self.protocol, self.pipes, writes=writes)[0]

    def close(self) -> None:
        self.transport.abort()
        self.their_writing.close()
        self.their_reading.close()


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()
    if not ends.protocol.lost.done():
        await ends.protocol.lost


async def until_received(protocol: Recorder, size: int) -> None:
    while len(protocol.received) < size:
        protocol.news.clear()
        await protocol.news.wait()


async def test_both_directions_carry_bytes(ends: Ends) -> None:
    ends.transport.write(b"to the peer")
    assert await asyncio.to_thread(ends.their_reading.read, 100) == b"to the peer"
    ends.their_writing.write(b"from the peer")
    await until_received(ends.protocol, 13)
    assert ends.protocol.received == b"from the peer"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_a_server_of_http_which_is_none_of_asyncios_classes_answers_and_hears_the_end() -> None:
    reading, their_writing = os.pipe()
    their_reading, writing = os.pipe()
    server = Server(hello)
    open_threaded_pipes(server.protocol, Descriptors(reading, writing))
    with os.fdopen(their_writing, "wb", 0) as request, os.fdopen(their_reading, "rb") as answer:
        request.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await asyncio.to_thread(answer.readline)).startswith(b"HTTP/1.1 200")
        request.close()
        assert (await asyncio.to_thread(answer.read)).endswith(b"hello")
    await server.shutdown()


async def test_a_paused_protocol_is_told_nothing_until_it_resumes_and_then_all_in_order(ends: Ends) -> None:
    ends.transport.pause_reading()
    assert not ends.transport.is_reading()
    ends.their_writing.write(b"one ")
    ends.their_writing.close()
    for _ in range(20):
        await asyncio.sleep(0)
    assert ends.protocol.received == b""
    ends.transport.resume_reading()
    assert await ends.protocol.lost is None
    assert (ends.protocol.received, ends.protocol.told) == (b"one ", ["end", "lost"])


async def test_writing_is_paused_while_the_peer_does_not_read(ends: Ends) -> None:
    size = 4 * HIGH_WATER
    ends.transport.write(b"x" * size)
    assert ends.protocol.told == ["pause"]
    assert ends.transport.get_write_buffer_size() == size
    got = 0
    while got < size:
        got += len(await asyncio.to_thread(ends.their_reading.read, HIGH_WATER))
    while ends.protocol.told != ["pause", "resume"]:
        ends.protocol.news.clear()
        await ends.protocol.news.wait()


async def test_close_writes_what_it_was_given_first(ends: Ends) -> None:
    ends.transport.write(b"last words")
    ends.transport.close()
    ends.transport.write(b"too late")
    assert await ends.protocol.lost is None
    assert ends.their_reading.read(100) == b"last words"
    assert ends.their_reading.read(100) == b""


async def test_what_the_peer_wrote_before_it_stopped_reading_is_still_read(ends: Ends) -> None:
    ends.their_reading.close()
    ends.their_writing.write(b"goodbye")
    ends.their_writing.close()
    ends.transport.write(b"hello")
    assert isinstance(await ends.protocol.lost, BrokenPipeError | None)
    assert ends.protocol.received == b"goodbye"


async def test_a_peer_that_stops_reading_and_keeps_its_other_end_ends_the_connection(ends: Ends) -> None:
    ends.their_reading.close()
    ends.transport.write(b"hello")
    assert isinstance(await ends.protocol.lost, BrokenPipeError)


async def test_abort_ends_both_at_once(ends: Ends) -> None:
    ends.transport.abort()
    assert ends.transport.is_closing()
    assert await ends.protocol.lost is None
    assert ends.pipes.closed


async def test_a_mux_runs_on_threads() -> None:
    near_read, far_write = os.pipe()
    far_read, near_write = os.pipe()
    near, far = Mux(client=True), Mux(client=False)
    ends = (Descriptors(near_read, near_write), Descriptors(far_read, far_write))
    for mux, pipes in zip((near, far), ends, strict=True):
        open_threaded_pipes(lambda mux=mux: mux, pipes)  # type: ignore[misc]
    assert await near.ping() >= 0
    await near.close()
    await far.wait_closed()
    for pipes in ends:
        pipes.close()


@pytest.mark.parametrize("by_peer", [True, False])
async def test_pipes_that_are_only_read_have_one_thread_and_end_by_either_side(by_peer: bool) -> None:
    before = set(threading.enumerate())
    ends = Ends(writes=False)
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["plugmux: reads the link"]
    ends.their_writing.write(b"the last words")
    await until_received(ends.protocol, 14)
    if by_peer:
        ends.their_writing.close()
    else:
        ends.transport.close()
    assert await ends.protocol.lost is None
    assert ends.protocol.told == (["end", "lost"] if by_peer else ["lost"])
    assert ends.pipes.closed
    ends.close()
