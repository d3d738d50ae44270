"""Messages to the runtime's socket that cost much to read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .interface import MIB, Attack, Host

CALLS = 20

CALL = """
import socket, sys, zlib
address, fields, body, calls = "\\0" + sys.argv[1], sys.argv[2], eval(sys.argv[3]), int(sys.argv[4])
head = "POST /plugins.v1.PluginManagementService/ListPlugins HTTP/1.1\\r\\nHost: x\\r\\n" + fields
for _ in range(calls):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(address)
        peer.sendall(f"{head}Connection: close\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n".encode() + body)
        answer = peer.recv(4096)
        assert answer.startswith(b"HTTP/1.1 400 "), answer
"""
"""Makes calls that are refused."""


def refused(fields: str, body: str) -> Callable[[Host], Awaitable[None]]:
    async def run(host: Host) -> None:
        program = await host.program(CALL, host.sockaddr, fields, body, CALLS)
        assert await program.wait() == 0, "a call was not refused"

    return run


JSON = "Content-Type: application/json\r\n"
GZIP = "Content-Type: application/proto\r\nContent-Encoding: gzip\r\n"
MEMBERS = "zlib.compressobj(wbits=31).flush() * (4 * 1024 * 1024 // 20 - 1)"

ATTACKS = [
    Attack("4 MiB of empty gzip members", refused(GZIP, MEMBERS), memory=32 * MIB, latency=0.5),
    Attack("4 MiB of nested JSON", refused(JSON, "b'{\"a\":' + b'[' * 4000000"), memory=64 * MIB, latency=0.5),
]
