"""Accepting connections where the system gives none."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("unix sockets", allow_module_level=True)

from plugmux.platform.accepting import OpenConnections
from plugmux.platform.posix.listening import _Silent


class Starved(socket.socket):
    """A listening socket of a process that has no descriptor to spare at first."""

    tries = 0

    def accept(self) -> tuple[socket.socket, Any]:
        Starved.tries += 1
        if Starved.tries == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_a_connection_waits_until_a_descriptor_is_free(tmp_path: Path) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, failure: failures.append(failure))
    path = str(tmp_path / "s")
    with Starved(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        client.connect(path)
        client.send(b"x")
        with await _Silent(listener).first_to_speak() as connection:
            assert connection.recv(1) == b"x"
    assert Starved.tries == 2
    assert failures == []


def test_callers_who_have_gone_take_no_room() -> None:
    gone: set[int] = set()
    connections: OpenConnections[str, int] = OpenConnections(lambda connection: connection not in gone, None, most=2)
    assert connections.add("first", 1)
    assert connections.add("first", 2)
    assert not connections.add("first", 3)
    gone.add(1)
    assert connections.add("first", 3)
    for number in range(100, 200):
        assert connections.add(f"guest {number}", number)
        gone.add(number)
    assert len(connections._open) <= 4
    assert not connections.add("first", 4)


@pytest.mark.parametrize(("descriptors", "most"), [(None, 1024), (4096, 1024), (200, 100), (1, 1)])
def test_connections_take_half_of_the_descriptors_at_most(descriptors: int | None, most: int) -> None:
    assert OpenConnections(bool, descriptors).most == most
