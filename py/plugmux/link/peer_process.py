"""Ends a link when the process at its other end has ended.

As a rule the kernel tells by closing the connection. But a child that the process has forked may hold it open; so the
process itself is watched too, where the system tells which one it is.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..errors import SessionClosed
from ..platform import credentials, open_process

if TYPE_CHECKING:
    from .link import Link

__all__ = ["ends_with_process", "peer_pid"]

LAST_BYTES_TIME = 0.5
"""Seconds that what a process has written before its end may take to be read, until the end of the connection."""


def peer_pid(link: Link) -> int | None:
    """The process at the other end of a link, or that which listens for it; `None` where the system does not tell."""
    sock = link.mux.get_extra_info("socket")
    if sock is None or sock.family != getattr(socket, "AF_UNIX", None):
        return None
    peer = credentials(sock)
    return None if peer is None else peer.pid


@contextmanager
def ends_with_process(link: Link, pid: int | None) -> Iterator[None]:
    """End a link within the block soon after a process has ended.

    A process that cannot be found, as one in another name space, and this process itself are not watched.

    Args:
        link: the link.
        pid: the process; `None` or 0 if it is not known.
    """
    process = None
    if pid and pid != os.getpid():
        with suppress(OSError):
            process = open_process(pid)
    if process is None:
        yield
        return
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def ended() -> None:
        reason = SessionClosed(f"the process at the other end ({pid}) has ended, and another holds its connection open")
        timers.append(loop.call_later(LAST_BYTES_TIME, link.abort, reason))

    process.on_exit(ended)
    try:
        yield
    finally:
        process.close()
        for timer in timers:
            timer.cancel()
