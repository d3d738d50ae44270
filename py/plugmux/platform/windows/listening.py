"""Listens for connections of this machine at a named pipe, to which this user and the system alone can connect."""

from __future__ import annotations

import _winapi
import asyncio
import ctypes
import errno
import os
import secrets
from contextlib import ExitStack
from typing import Any, Self

from .native.kernel import SecurityAttributes, advapi32, check, kernel32, open_handle
from .native.loop import completion, waits_for_pipes
from .sockets import LocalStream, PipeStream
from .users import SYSTEM, current_user

__all__ = ["LocalListener", "private_name"]

DUPLEX_AND_OVERLAPPED = 0x3 | 0x4000_0000
FIRST_INSTANCE = 0x0008_0000
REJECT_REMOTE_CLIENTS = 0x8
UNLIMITED_INSTANCES = 255
BUFFER_SIZE = 64 * 1024
ACCESS_DENIED = 5
CLIENT_HAS_GONE = 232  # ERROR_NO_DATA
SDDL_REVISION = 1


def private_name(made: ExitStack) -> str:
    """A new name to listen at, which no other process can guess.

    Args:
        made: removes what was made for it: nothing.
    """
    return rf"\\.\pipe\plugmux-{os.getpid()}-{secrets.token_hex(16)}"


class LocalListener:
    """A named pipe, of which one instance waits for the next client. Make it with `open`."""

    def __init__(self, name: str, waiting: PipeStream) -> None:
        self._name = name
        self._waiting: PipeStream | None = waiting

    @classmethod
    async def open(cls, name: str, backlog: int) -> Self:
        """Begin to listen.

        Args:
            name: the path of the pipe.
            backlog: without meaning: clients try again until it is their turn.

        Raises:
            ListenError: never here.
            OSError: the pipe cannot be made, or a process has one of that name already (`EADDRINUSE`).
        """
        try:
            return cls(name, _make_instance(name, first=True))
        except OSError as error:
            if error.winerror == ACCESS_DENIED:
                raise OSError(errno.EADDRINUSE, "a process has a pipe of that name", name) from None
            raise

    async def accept(self) -> LocalStream:
        """Wait for a connection. Where this is cancelled, none is lost.

        Raises:
            OSError: the system gives none.
        """
        while True:
            if self._waiting is None:
                self._waiting = _make_instance(self._name, first=False)
            connection = self._waiting
            try:
                await _connected(connection)
            except OSError as error:
                self._renew()
                connection.close()
                if error.winerror != CLIENT_HAS_GONE:
                    raise
            else:
                self._renew()
                return connection

    def _renew(self) -> None:
        """Make the instance for the next client; at once, so that the name is never free in between."""
        self._waiting = None
        self._waiting = _make_instance(self._name, first=False)

    async def first_to_speak(self) -> LocalStream:
        """Wait for a connection: nobody who does not know the name of the pipe connects to it."""
        return await self.accept()

    def descriptors(self) -> list[int]:
        """The descriptors of the listener: none."""
        return []

    def close(self) -> None:
        """Stop listening. It may be repeated."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.close()


async def _connected(pipe: PipeStream) -> None:
    """Wait for a client of an instance. Where this is cancelled, a client that has connected stays connected."""
    if waits_for_pipes():
        loop: Any = asyncio.get_running_loop()
        await loop._proactor.accept_pipe(pipe)
    else:
        await completion(_winapi.ConnectNamedPipe(pipe.fileno(), overlapped=True))


def _make_instance(name: str, *, first: bool) -> PipeStream:
    descriptor = ctypes.c_void_p()
    sddl = f"D:P(A;;GA;;;{current_user()})(A;;GA;;;{SYSTEM})"
    check(
        advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW(
            sddl, SDDL_REVISION, ctypes.byref(descriptor), None
        )
    )
    try:
        attributes = SecurityAttributes(ctypes.sizeof(SecurityAttributes), descriptor, False)
        handle = kernel32.CreateNamedPipeW(
            name,
            DUPLEX_AND_OVERLAPPED | (FIRST_INSTANCE if first else 0),
            REJECT_REMOTE_CLIENTS,
            UNLIMITED_INSTANCES,
            BUFFER_SIZE,
            BUFFER_SIZE,
            0,
            ctypes.byref(attributes),
        )
        return PipeStream(open_handle(handle), serves=True)
    finally:
        kernel32.LocalFree(descriptor)
