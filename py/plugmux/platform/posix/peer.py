"""Who is at the other end of a unix socket."""

from __future__ import annotations

import socket
import struct
import sys

from ..interface import Credentials

__all__ = ["credentials"]

SOL_LOCAL = 0
LOCAL_PEERCRED = 1
LOCAL_PEERPID = 2
"""Python names none of the three on macOS. (sys/un.h)"""

XUCRED = struct.Struct("=IIhxx16I")
"""Version, user, number of groups, groups. FreeBSD has a process id behind them. (sys/ucred.h)"""

XUCRED_VERSION = 0


def credentials(sock: socket.socket) -> Credentials | None:
    """Who is at the other end of a connected unix socket; `None` where the system does not tell, or not of this one.

    Linux tells by SO_PEERCRED, macOS and FreeBSD by LOCAL_PEERCRED. The layouts are the systems' own, and so the name
    of the system decides: OpenBSD's SO_PEERCRED has another order.
    """
    if sys.platform.startswith("linux") and hasattr(socket, "SO_PEERCRED"):
        pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return Credentials(pid, uid)
    if sys.platform.startswith(("darwin", "freebsd")):
        return _local_peer(sock)
    return None


def _local_peer(sock: socket.socket) -> Credentials | None:
    try:
        told = sock.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, XUCRED.size)
        if len(told) < XUCRED.size:
            return None
        version, uid, *_ = XUCRED.unpack(told)
        if version != XUCRED_VERSION:
            return None
    except OSError:  # The peer has gone, or never was.
        return None
    return Credentials(_local_pid(sock), uid)


def _local_pid(sock: socket.socket) -> int | None:
    """The process id of the peer, which macOS alone tells by this option."""
    if sys.platform != "darwin":
        return None
    try:
        pid: int = struct.unpack("i", sock.getsockopt(SOL_LOCAL, LOCAL_PEERPID, 4))[0]
    except OSError:
        return None
    return pid or None
