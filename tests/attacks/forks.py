"""A host that forks: no child of it holds a link open, whatever becomes of the host."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from plugmux import Launch
from support.tools import faulty_plugin

from .interface import MIB, Attack, Host

__all__ = ["ATTACKS"]

CHILDREN = 8


def sockets(pid: int) -> set[str]:
    """The sockets that a process has, as the kernel names them."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return {name for name in found if name.startswith("socket:")}


async def forks(host: Host) -> None:
    """The host forks children, as multiprocessing does, and its plugins are ended and started meanwhile."""
    children = []
    try:
        for _ in range(CHILDREN):
            child = os.fork()
            if not child:
                signal.pause()
            children.append(child)
            await host.runtime.restart("second")
            linked = {
                os.readlink(f"/proc/self/fd/{fd}")
                for plugin in host.runtime.plugins()
                if plugin.link is not None
                for fd in plugin.link.descriptors()
            }
            held = [child for child in children if sockets(child) & linked]
            assert not held, f"{len(held)} forked children hold links open"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            await asyncio.to_thread(os.waitpid, child, 0)


ATTACKS = [
    Attack(
        "a host that forks",
        forks,
        memory=32 * MIB,
        latency=2.0,
        seconds=30,
        options=lambda directory: {"plugins": [Launch(faulty_plugin("go"), name="second")]},
    )
]
