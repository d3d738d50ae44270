"""What asyncio's transports lack."""

from __future__ import annotations

import asyncio
import socket

import pytest

from plugmux.aio.transports import write_pieces


class Writer(asyncio.Protocol):
    paused = False

    def pause_writing(self) -> None:
        self.paused = True


@pytest.mark.parametrize("pieces", [(bytes(1 << 20),), (b"head", bytes(1 << 20))], ids=["one", "two"])
async def test_a_protocol_is_told_of_a_full_buffer_by_every_python(pieces: tuple[bytes, ...]) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        transport, writer = await asyncio.get_running_loop().create_connection(Writer, sock=ours)
        for _ in range(64):  # Windows takes more than one of them.
            if not writer.paused:
                write_pieces(transport, pieces)
        assert writer.paused
        transport.abort()
        await asyncio.sleep(0)
