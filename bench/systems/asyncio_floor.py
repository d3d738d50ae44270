"""The floor: asyncio on a bare socket pair for calls, blocking sockets for bulk. No system on top can pass it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time

from measure import KIB64, MIB, Bench, percentiles, run

BULK = 2048
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


def sink(descriptor: int) -> None:
    """Takes as many bytes as it is told, again and again, and says each time that they have come."""
    buffer = bytearray(MIB)
    with socket.socket(fileno=descriptor) as sock:
        while announced := sock.recv(8, socket.MSG_WAITALL):
            left = int.from_bytes(announced, "big")
            while left:
                left -= sock.recv_into(buffer, min(left, MIB))
            sock.sendall(announced)


def child(what: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, __file__, what, str(theirs.fileno())]
        return ours, subprocess.Popen(command, pass_fds=[theirs.fileno()])


async def bulk(bench: Bench) -> None:
    ours, process = child("sink")

    async def pour(count: int, size: int) -> None:
        chunk = bytes(size)
        ours.sendall((count * size).to_bytes(8, "big"))
        for _ in range(count):
            ours.sendall(chunk)
        assert len(ours.recv(8, socket.MSG_WAITALL)) == 8

    with process, ours:
        await bench.stream("raw-bulk", BULK, KIB64, pour)


async def measure(bench: Bench) -> None:
    ours, process = child("echo")
    transport, caller = await asyncio.get_running_loop().create_connection(Caller, sock=ours)
    await bench.calls("unary-serial", 1, 100, caller.call)
    await bench.calls("unary-64k", 1, KIB64, caller.call)
    await bench.calls("unary-1m", 1, MIB, caller.call)
    transport.close()
    await asyncio.to_thread(process.wait)
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
        case ["echo", descriptor]:
            asyncio.run(echo(int(descriptor)))
        case ["sink", descriptor]:
            sink(int(descriptor))
        case _:
            run("floor", measure)
