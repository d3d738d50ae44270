"""Sockets of the runtime's own in the file system: one listener at a path, which only this user can connect to.

The directory's path must be one that no other user can change. In a sticky directory such as /tmp others can take a
free name first, and nothing else. Of several runtimes that find the socket of a dead one at the same time, one replaces
it: each holds a lock of the directory from its look until it listens.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from ..interface import ListenError, UntrustedPath
from .trusted_path import open_directory

__all__ = ["bind_abstract", "bind_at", "remove_socket"]

PRIVATE_SOCKET = 0o600
LOCK_TIME = 5.0
"""Seconds to wait for the lock of a directory: another runtime holds it for an instant."""

LOCK_PAUSE = 0.005


async def bind_at(path: Path, backlog: int) -> socket.socket:
    """Listen at a path; its directory is made, and the socket of a dead runtime replaced.

    Args:
        path: where.
        backlog: connections that may wait; the kernel has a bound of its own.

    Returns:
        The socket, which does not block.

    Raises:
        ListenError: somebody listens there already, what stands there is no socket, or another user could interfere.
        OSError: the socket cannot be made.
    """
    try:
        directory = open_directory(path.parent, make=True, shared=True)
    except UntrustedPath as error:
        raise ListenError(
            f"cannot listen at unix:{path}: {error}; choose an address in a directory that only this user can write"
        ) from None
    try:
        async with _locked(directory, path):
            _clear(path)
            return _bind(path, backlog)
    finally:
        os.close(directory)


def remove_socket(path: Path, bound: os.stat_result) -> None:
    """Remove a socket's file, unless another stands in its place; while the socket still listens, so that no runtime
    takes it for a dead one's and replaces it meanwhile.

    Args:
        path: where the socket was bound.
        bound: the status of its file.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if os.path.samestat(found, bound):
        path.unlink(missing_ok=True)


@asynccontextmanager
async def _locked(directory: int, path: Path) -> AsyncIterator[None]:
    import fcntl

    end = time.monotonic() + LOCK_TIME
    while True:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > end:
                raise ListenError(
                    f"cannot listen at unix:{path}: another process has held a lock of its directory for "
                    f"{LOCK_TIME:g} s; choose an address in another directory"
                ) from None
            await asyncio.sleep(LOCK_PAUSE)
    try:
        yield
    finally:
        fcntl.flock(directory, fcntl.LOCK_UN)


def _clear(path: Path) -> None:
    """Remove the socket that a dead runtime has left.

    Raises:
        ListenError: what stands there is no socket, or somebody listens at it.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{str(path)!r} exists and is no socket; choose another address")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # It has as many connections waiting as it takes.
    raise ListenError(f"a runtime listens at unix:{path} already; stop it or choose another address")


def bind_abstract(name: str, backlog: int) -> socket.socket:
    """Listen at a name of Linux' abstract name space.

    Args:
        name: the name, behind a zero byte.
        backlog: as above.

    Raises:
        OSError: the socket cannot be made, or somebody listens there already (`EADDRINUSE`).
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(name)
        return _listening(sock, backlog)
    except BaseException:
        sock.close()
        raise


def _bind(path: Path, backlog: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(OSError):  # Only Linux can; the file that `bind` makes has this mode from the first then.
            os.fchmod(sock.fileno(), PRIVATE_SOCKET)
        sock.bind(str(path))
        if stat.S_IMODE(path.lstat().st_mode) != PRIVATE_SOCKET:
            path.chmod(PRIVATE_SOCKET)  # Nobody can connect before `listen`.
        return _listening(sock, backlog)
    except BaseException:
        sock.close()
        raise


def _listening(sock: socket.socket, backlog: int) -> socket.socket:
    sock.listen(backlog)
    sock.setblocking(False)
    return sock
