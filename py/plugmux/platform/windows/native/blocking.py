"""Pipes whose reads and writes block the thread that calls them.

By synchronous handles: what a plugin inherits, and the links of a host whose event loop cannot wait for pipes. By an
overlapped one: a named pipe in such an event loop.
"""

from __future__ import annotations

import _winapi
import threading
import time
from asyncio import windows_utils
from collections.abc import Iterator
from contextlib import contextmanager

from .kernel import kernel32

__all__ = ["DuplexPipe", "HandlePipes"]

CANCEL_PAUSE = 0.001
"""Seconds between two tries to end an operation that is about to begin."""

OPERATION_ABORTED = 995


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
                    data = self._read(size)
                except BrokenPipeError:
                    return b""
            if data:  # Else the peer has written nothing, which is no end.
                return data

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            with self._used(self._writing):
                written = self._write(bytes(left) if len(left) < len(data) else data)
            left = left[written:]

    def _read(self, size: int) -> bytes:
        return bytes(_winapi.ReadFile(self._reading, size)[0])

    def _write(self, data: bytes) -> int:
        return _winapi.WriteFile(self._writing, data)[0]

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
        self._release(handle)

    def _release(self, handle: int) -> None:
        kernel32.CloseHandle(handle)


class DuplexPipe(HandlePipes):
    """A named pipe, read and written at the same time. (See `BlockingPipes`.)

    The operations of a synchronous handle wait for each other; this one is overlapped, and each waits for itself alone.
    """

    def __init__(self, pipe: windows_utils.PipeHandle) -> None:
        super().__init__(pipe.fileno(), pipe.fileno())
        self._pipe = pipe

    def _read(self, size: int) -> bytes:
        operation, _ = _winapi.ReadFile(self._reading, size, overlapped=True)
        _wait(operation)
        return bytes(operation.getbuffer() or b"")

    def _write(self, data: bytes) -> int:
        operation, _ = _winapi.WriteFile(self._writing, data, overlapped=True)
        return _wait(operation)

    def _release(self, handle: int) -> None:
        self._pipe.close()


def _wait(operation: _winapi.Overlapped) -> int:
    done, error = operation.GetOverlappedResult(True)
    if error == OPERATION_ABORTED:
        raise BrokenPipeError("the pipe has been closed")
    return done
