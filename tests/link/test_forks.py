"""A forked child has no link and no listener of its parent, so that the peers see their parent's end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from plugmux.contract.address import Address
from plugmux.http import Server
from plugmux.link.app import LinkApp
from plugmux.link.link import Link, Peer
from plugmux.runtime.socket.linksocket import LinkSocket
from plugmux.runtime.socket.listener import Listener


def in_a_child(descriptors: Iterable[int]) -> set[str]:
    """What descriptors of this process lead to in a child that it forks."""
    read, write = os.pipe()
    wanted = list(descriptors)
    assert wanted
    child = os.fork()
    if not child:
        os.write(write, "\n".join(os.readlink(f"/proc/self/fd/{fd}") for fd in wanted).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        seen = answer.read()
    os.waitpid(child, 0)
    return set(seen.split("\n"))


@pytest.mark.parametrize("kind", ["socket", "pipes"])
async def test_a_child_has_no_link(kind: str) -> None:
    link = Link(LinkApp(), initiator=True, peer=Peer("peer"))
    there, (read, write) = socket.socketpair(), os.pipe()
    if kind == "socket":
        await link.over_socket(there[0])
    else:
        await link.over_pipes(read, write)
    assert in_a_child(link.descriptors()) == {os.devnull}
    assert not link.closed
    await link.close(0)
    for sock in there:
        sock.close()
    if kind == "socket":
        os.close(read)
        os.close(write)


async def test_a_child_has_no_listener(tmp_path: Path) -> None:
    listener = Listener(Address.parse(f"unix:{tmp_path}/socket"), Server(LinkApp()))
    await listener.start()
    assert in_a_child(listener.descriptors()) == {os.devnull}
    await listener.close()
    assert list(listener.descriptors()) == []


async def test_a_child_does_not_listen_for_a_plugin(tmp_path: Path) -> None:
    listener = await LinkSocket.open(tmp_path / "socket")
    assert in_a_child(listener.descriptors()) == {os.devnull}
    await listener.close()
