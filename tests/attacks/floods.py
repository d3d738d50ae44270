"""Peers that keep the host busy with what brings nothing: they are cut off, and nobody waits for them meanwhile."""

from __future__ import annotations

from support.hostile import PEER

from .interface import MIB, Attack, Host

__all__ = ["ATTACKS"]

FLOOD = """
import itertools
link = connect()
register(link)
read_on(link)
{pieces}
until = time.monotonic() + 20
tell("cut off" if send_all(link, itertools.takewhile(lambda _: time.monotonic() < until, pieces())) else "goes on")
"""

JUNK = """
def pieces():
    link.sendall(data(3, b"G", SYN))
    while True:
        yield (frame(CREDIT, 0, 3, 0) + frame(DATA, 0, 3, 0)) * 4096
"""

PINGS = """
def pieces():
    while True:
        yield frame(PING, SYN, 0, 7) * 8192
"""

RESETS = """
def pieces():
    for stream in range(3, 1 << 31, 512):
        yield b"".join(
            data(number, request(PLUGIN, 10), SYN) + frame(CREDIT, RST, number, 0)
            for number in range(stream, stream + 512, 2)
        )
"""


def _flood(pieces: str) -> str:
    return PEER + FLOOD.format(pieces=pieces)


async def _is_cut_off(host: Host, pieces: str) -> None:
    program = await host.program(_flood(pieces), host.sockaddr)
    assert program.stdout is not None
    told = (await program.stdout.readline()).decode().strip()
    if not told:
        raise RuntimeError("the attacker has failed")
    assert told == "cut off", "the flood went on for 20 s, and its link was not ended"


async def junk(host: Host) -> None:
    """A plugin sends frames that do nothing, without an end."""
    await _is_cut_off(host, JUNK)


async def pings(host: Host) -> None:
    """A plugin sends pings without an end."""
    await _is_cut_off(host, PINGS)


async def resets(host: Host) -> None:
    """A plugin opens streams and resets them, without an end."""
    await _is_cut_off(host, RESETS)


ATTACKS = [
    Attack("frames that do nothing", junk, memory=32 * MIB, latency=0.5, seconds=40),
    Attack("pings", pings, memory=32 * MIB, latency=0.5, seconds=40),
    Attack("streams that are opened and reset", resets, memory=48 * MIB, latency=0.5, seconds=40),
]
