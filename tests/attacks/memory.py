"""Peers that take up the host's memory: with what they send and nobody takes, and by being many."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.hostile import PEER

from .interface import MIB, Attack, Host

__all__ = ["ATTACKS"]

UNREGISTERED = """
link = connect()
read_on(link)
body = bytes(65536)
def pieces():
    for stream in range(1, 12001, 2):
        yield data(stream, request(PLUGIN, 4 << 20), SYN)
        for _ in range(4):
            yield data(stream, body[: 65536 - 200])
send_all(link, pieces())
tell("sent")
"""

UNFINISHED = """
link = connect()
register(link)
read_on(link)
body = bytes(65536)
def pieces():
    for stream in range(3, 803, 2):
        yield data(stream, request(PLUGIN, 4 << 20), SYN)
    for _ in range(3):
        for stream in range(3, 803, 2):
            yield data(stream, body)
send_all(link, pieces())
tell("sent")
"""

TWO_BYTES = """
link = connect()
register(link)
read_on(link)
def pieces():
    for stream in range(3, 131, 2):
        yield data(stream, request(PLUGIN, 4 << 20), SYN)
    for _ in range(3):
        for stream in range(3, 131, 2):
            yield data(stream, b"xy") * 8192
send_all(link, pieces())
tell("sent")
"""

RAW = """
link = connect()
register(link)
read_on(link)
upgrade = b"GET /stream/deaf HTTP/1.1\\r\\nhost: unix\\r\\nconnection: upgrade\\r\\nupgrade: plugmux-stream\\r\\n\\r\\n"
body = bytes(60000)
def pieces():
    for stream in range(3, 4003, 2):
        yield data(stream, upgrade, SYN)
        for _ in range(4):
            yield data(stream, body)
send_all(link, pieces())
tell("sent")
"""

IDLE = """
asking = []
for _ in range(1000):
    try:
        asking.append(ask())
    except OSError:
        break
links = []
for link in asking:  # They wait at the same time: the runtime lets as many links wait for the others as it may have.
    try:
        links.append(answered(link))
    except OSError:
        break
for link in links:
    send_all(link, [frame(PING, SYN, 0, 1)])
tell(len(links))
"""


async def _deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A raw stream that nobody reads."""
    await asyncio.Event().wait()


def _with_a_deaf_stream(directory: Path) -> Mapping[str, Any]:
    return {"streams": {"deaf": _deaf}}


async def _run(host: Host, source: str) -> str:
    """Run an attacker until it has done what it does; gives what it tells."""
    program = await host.program(PEER + source, host.sockaddr)
    assert program.stdout is not None
    told = (await program.stdout.readline()).decode().strip()
    if not told:
        raise RuntimeError("the attacker has failed")
    return told


async def unregistered(host: Host) -> None:
    """A link that never registers sends 1.5 GiB of requests that it does not finish."""
    await _run(host, UNREGISTERED)


async def unfinished(host: Host) -> None:
    """A plugin begins 400 requests of 4 MiB and finishes none."""
    await _run(host, UNFINISHED)


async def two_bytes(host: Host) -> None:
    """A plugin sends 3 MiB in frames of two bytes, for requests that it does not finish."""
    await _run(host, TWO_BYTES)


async def raw_streams(host: Host) -> None:
    """A plugin writes 480 MiB to raw streams that nobody reads."""
    await _run(host, RAW)


async def idle_links(host: Host) -> None:
    """A thousand links do nothing."""
    await _run(host, IDLE)


ATTACKS = [
    Attack("a link that never registers sends 1.5 GiB", unregistered, memory=24 * MIB, seconds=60),
    Attack("400 requests of 4 MiB that are not finished", unfinished, memory=100 * MIB, seconds=60),
    Attack("frames of two bytes", two_bytes, memory=64 * MIB, seconds=90),
    # Twice what a link may hold: buffers that grow by copying leave holes in the heap.
    Attack("raw streams that nobody reads", raw_streams, memory=128 * MIB, seconds=60, options=_with_a_deaf_stream),
    Attack("1,000 idle links", idle_links, memory=100 * MIB, seconds=60),
]
