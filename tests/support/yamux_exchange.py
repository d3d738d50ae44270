"""The exchange of the interop tests, as `peer/exchange.go` describes it: both of its sides, in Python."""

from __future__ import annotations

import asyncio
import hashlib
import random
import struct
from dataclasses import dataclass, field
from enum import IntEnum

from plugmux.errors import StreamReset
from plugmux.yamux import Mux, StreamTransport

HEADER = struct.Struct(">BII")
NOISE = random.Random(1).randbytes(9 * 1024 * 1024)


class Mode(IntEnum):
    PLAIN = 0
    HALF_CLOSE = 1
    RESET = 2
    ABANDON = 3


@dataclass
class Tally:
    """How the exchanges went."""

    ok: int = 0
    reset: int = 0
    errors: list[str] = field(default_factory=list)


def noise(seed: int, size: int) -> memoryview:
    start = seed % (len(NOISE) - size)
    return memoryview(NOISE)[start : start + size]


def draw_size(source: random.Random, average: int, largest: int) -> int:
    """A size whose mean is about half the average, sometimes zero and sometimes much larger."""
    match source.randrange(8):
        case 0:
            return 0
        case 1:
            return source.randint(0, min(largest, 3 * average + 1))
        case _:
            return source.randint(0, min(largest, average // 2 + 1))


async def open_stream(mux: Mux) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, StreamTransport]:
    reader = asyncio.StreamReader()
    transport, protocol = await mux.create_connection(lambda: asyncio.StreamReaderProtocol(reader))
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop()), transport


async def write(writer: asyncio.StreamWriter, data: memoryview) -> None:
    for start in range(0, len(data), 100_000):
        writer.write(data[start : start + 100_000])
        await writer.drain()


async def call(mux: Mux, mode: Mode, request_size: int, response_size: int) -> None:
    """Open a stream and run one exchange on it, to its end."""
    reader, writer, transport = await open_stream(mux)
    try:
        request = noise(request_size, request_size)
        writer.write(HEADER.pack(mode, request_size, response_size))
        await write(writer, request)
        if mode is Mode.HALF_CLOSE:
            writer.write_eof()
        assert await reader.readexactly(32) == hashlib.sha256(request).digest(), "the peer got another request"
        if mode is Mode.ABANDON:
            await reader.readexactly(response_size // 2)
            transport.abort()
            return
        response = await reader.readexactly(response_size)
        assert await reader.readexactly(32) == hashlib.sha256(response).digest(), "the response is damaged"
        assert await reader.read() == b"", "no end behind the response"
    finally:
        writer.close()


async def call_many(mux: Mux, count: int, total: int, largest: int, seed: int) -> Tally:
    """Run many exchanges at once."""
    source = random.Random(seed)
    tally = Tally()

    async def one(mode: Mode, request: int, response: int) -> None:
        try:
            await call(mux, mode, request, response)
            tally.ok += 1
        except Exception as error:
            tally.errors.append(f"mode {mode}, {request} and {response} bytes: {error!r}")

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            # The peer cannot reset a stream.
            mode = source.choice([Mode.PLAIN, Mode.HALF_CLOSE, Mode.ABANDON])
            sizes = [draw_size(source, total // count, largest) for _ in range(2)]
            group.create_task(one(mode, *sizes))
    return tally


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one exchange."""
    try:
        mode, request_size, response_size = HEADER.unpack(await reader.readexactly(HEADER.size))
        digest = hashlib.sha256()
        left = request_size // 2 if mode == Mode.RESET else request_size
        while left:
            data = await reader.read(min(left, 100_000))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            digest.update(data)
            left -= len(data)
        if mode == Mode.RESET:
            writer.transport.abort()
            return
        if mode == Mode.HALF_CLOSE:
            assert await reader.read() == b""
        response = noise(response_size, response_size)
        writer.write(digest.digest())
        await write(writer, response)
        writer.write(hashlib.sha256(response).digest())
        writer.write_eof()
    except (asyncio.IncompleteReadError, StreamReset):
        pass
    finally:
        writer.close()


class Servers:
    """Answers the exchanges that a mux accepts, and owns their tasks."""

    def __init__(self, mux: Mux) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        mux.listen(self._protocol)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._accepted)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def wait(self) -> None:
        """Wait until all exchanges have ended."""
        await asyncio.gather(*self.tasks)
