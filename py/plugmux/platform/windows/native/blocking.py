"""Pipes by synchronous handles: what a plugin inherits, and what a host has whose event loop cannot wait for pipes.

Reads and writes block the thread that calls them.
"""

from __future__ import annotations

import _winapi
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .kernel import kernel32

__all__ = ["HandlePipes"]

CANCEL_PAUSE = 0.001
"""Seconds between two tries to end an operation that is about to begin."""


class HandlePipes:
    """Two one-way pipes by their handles, or one that is only read, twice. (See `BlockingPipes`.)

    A handle is closed only when no thread uses it any more. That is left to a thread: ending an operation may take more
    than one try.
    """

    def __init__(self, read: int, write: int) -> None:
        self._reading, self._writing = read, write
        self._lock = threading.Lock()
        self._users = dict.fromkeys((write, read), 0)
        self._closed = False

    def read(self, size: int) -> bytes:
        while True:
            with self._used(self._reading):
                try:
                    data, _ = _winapi.ReadFile(self._reading, size)
                except BrokenPipeError:
                    return b""
            if data:  # Else the peer has written nothing, which is no end.
                return bytes(data)

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            with self._used(self._writing):
                written, _ = _winapi.WriteFile(self._writing, bytes(left) if len(left) < len(data) else data)
            left = left[written:]

    @contextmanager
    def _used(self, handle: int) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise BrokenPipeError("the pipe has been closed")
            self._users[handle] += 1
        try:
            yield
        finally:
            with self._lock:
                self._users[handle] -= 1

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for handle in self._users:
            threading.Thread(target=self._close, args=(handle,), name="plugmux: closes a pipe", daemon=True).start()

    def _close(self, handle: int) -> None:
        while self._users[handle]:
            kernel32.CancelIoEx(handle, None)
            time.sleep(CANCEL_PAUSE)
        kernel32.CloseHandle(handle)
