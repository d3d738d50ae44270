"""A program on another yamux as the other end of a mux."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from plugmux.yamux import Config, Mux

from .yamux_exchange import Servers, Tally, call_many

LARGEST = 8 * 1024 * 1024
"""Bytes that one request or response of an exchange may have."""


class Peer:
    """The running program and the mux that is joined to it."""

    def __init__(self, mux: Mux, connection: asyncio.Transport, process: asyncio.subprocess.Process) -> None:
        self.mux = mux
        self.connection = connection
        self._process = process

    async def tell(self, command: str) -> dict[str, Any]:
        """Give a command, and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command.encode() + b"\n")
        answer = await self._process.stdout.readline()
        assert answer, f"the peer died of {command!r}"
        result: dict[str, Any] = json.loads(answer)
        return result


@asynccontextmanager
async def start_peer(program: Path, *options: str, client: bool, config: Config | None = None) -> AsyncIterator[Peer]:
    """Start the program and join a mux to it.

    Args:
        program: the built peer.
        options: command-line options for it.
        client: whether the mux, on our side, is the yamux client.
        config: the settings of our side.
    """
    ours, theirs = socket.socketpair()
    mux = Mux(client=client, config=config)
    with theirs:
        process = await asyncio.create_subprocess_exec(
            program,
            f"-fd={theirs.fileno()}",
            f"-client={str(not client).lower()}",
            *options,
            pass_fds=[theirs.fileno()],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ,
        )
    connection, _ = await asyncio.get_running_loop().create_connection(lambda: mux, sock=ours)
    try:
        yield Peer(mux, connection, process)
        await mux.close()
    finally:
        mux.abort()
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def both_ways(peer: Peer, count: int, total: int, seed: int) -> tuple[Tally, Tally]:
    """Exchanges from our side and from the peer's, at once."""
    servers = Servers(peer.mux)
    ours, theirs = await asyncio.gather(
        call_many(peer.mux, count, total, LARGEST, seed), peer.tell(f"call {count} {total} {LARGEST} {seed}")
    )
    await servers.wait()
    return ours, Tally(theirs["ok"], theirs["reset"], theirs["errors"] or [])
