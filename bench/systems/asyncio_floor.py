"""The floor: asyncio on a bare socket pair for calls, blocking sockets for bulk. No system on top can pass it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time

from measure import KIB64, MIB, Bench, Move, percentiles, run

BULK = 1024
WINDOW = 256 * 1024
LAUNCHES = 10
IMPORTS = "import asyncio, google.protobuf.message, h11"


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


class Caller(asyncio.Protocol):
    """Sends a payload, and waits until as much has come back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.missing = 0
        self.done: asyncio.Future[None]

    async def call(self, payload: bytes) -> None:
        self.missing = len(payload)
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(payload)
        await self.done

    def data_received(self, data: bytes) -> None:
        self.missing -= len(data)
        if not self.missing:
            self.done.set_result(None)


async def echo(descriptor: int) -> None:
    sock = socket.socket(fileno=descriptor)
    _, protocol = await asyncio.get_running_loop().create_connection(Echo, sock=sock)
    await protocol.ended


def sink(descriptor: int, window: int) -> None:
    """Takes as many bytes as it is told, again and again, and says what has come: all, or each half of a window."""
    buffer = bytearray(MIB)
    with socket.socket(fileno=descriptor) as sock:
        while announced := sock.recv(8, socket.MSG_WAITALL):
            left = int.from_bytes(announced, "big")
            taken = 0
            while left:
                size = sock.recv_into(buffer, min(left, MIB))
                left -= size
                taken += size
                if not left or (window and taken * 2 >= window):
                    sock.sendall(taken.to_bytes(8, "big"))
                    taken = 0


def child(*what: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, __file__, str(theirs.fileno()), *what]
        return ours, subprocess.Popen(command, pass_fds=[theirs.fileno()])


def pouring(sock: socket.socket, window: int) -> Move:
    """What moves a bulk to a `sink`: with a window, no more than that is under way."""

    def taken() -> int:
        return int.from_bytes(sock.recv(8, socket.MSG_WAITALL), "big")

    async def pour(count: int, size: int) -> None:
        chunk = bytes(size)
        under_way = 0
        sock.sendall((count * size).to_bytes(8, "big"))
        for _ in range(count):
            while window and under_way + size > window:
                under_way -= taken()
            sock.sendall(chunk)
            under_way += size
        while under_way:
            under_way -= taken()

    return pour


async def bulk(bench: Bench) -> None:
    """Bytes as fast as they are taken, and beside it no faster than a window of yamux's allows."""
    ours, process = child("sink", "0")
    windowed, other = child("sink", str(WINDOW))
    with process, ours, other, windowed:
        pour, credited = pouring(ours, 0), pouring(windowed, WINDOW)
        await bench.stream("raw-bulk", BULK, KIB64, pour, credited_per_s=credited)


async def measure(bench: Bench) -> None:
    ours, process = child("echo")
    transport, caller = await asyncio.get_running_loop().create_connection(Caller, sock=ours)
    await bench.calls("unary-serial", 1, 100, caller.call)
    await bench.calls("unary-64k", 1, KIB64, caller.call)
    await bench.calls("unary-1m", 1, MIB, caller.call)
    transport.close()
    await asyncio.to_thread(process.wait)
    if bench.wants("raw-bulk"):
        await bulk(bench)
    if bench.wants("launch"):
        took = []
        for _ in range(LAUNCHES):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", IMPORTS], check=True)
            took.append(time.perf_counter() - begin)
        bench.row("launch", p50_us=percentiles(took)["p50_us"], n=LAUNCHES)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [descriptor, "echo"]:
            asyncio.run(echo(int(descriptor)))
        case [descriptor, "sink", window]:
            sink(int(descriptor), int(window))
        case _:
            run("floor", measure)
