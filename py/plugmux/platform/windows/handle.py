"""Learns of the end of a process by its handle, behind which there is never a later process of the same id."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from typing import Any

from .native.kernel import check, kernel32

__all__ = ["WindowsHandle", "await_handle", "open_process"]

SYNCHRONIZE = 0x0010_0000
QUERY_LIMITED = 0x1000
TERMINATE = 0x0001
INFINITE = 0xFFFF_FFFF
NO_SUCH_PROCESS = 87  # ERROR_INVALID_PARAMETER
WAIT_OBJECT = 0


def open_process(pid: int) -> WindowsHandle:
    """Watch a process, of this user or another.

    Raises:
        ProcessLookupError: there is no such process.
        OSError: the system does not let this process watch it.
    """
    try:
        handle = check(kernel32.OpenProcess(SYNCHRONIZE | QUERY_LIMITED, False, pid))
    except OSError as error:
        if error.winerror == NO_SUCH_PROCESS:
            raise ProcessLookupError(f"there is no process {pid}") from None
        raise
    return WindowsHandle(pid, handle)


class WindowsHandle:
    """A process by its handle. (See `ProcessHandle`.)"""

    def __init__(self, pid: int, handle: int) -> None:
        self.pid = pid
        self._handle = handle
        self._closing = threading.Lock()
        self._waiting = 0
        self._closed = False
        self._watch: Watch | None = None

    def on_exit(self, tell: Callable[[], None]) -> None:
        self._watch = await_handle(self._handle, tell)

    def wait(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._waiting += 1
        kernel32.WaitForSingleObject(self._handle, INFINITE)
        with self._closing:
            self._waiting -= 1
            self._close_unused()

    def send_signal(self, number: int) -> None:
        if number != signal.SIGTERM:
            raise ValueError(f"Windows has no signal {number} for another process")
        if kernel32.WaitForSingleObject(self._handle, 0) == WAIT_OBJECT:
            raise ProcessLookupError(f"process {self.pid} has ended")
        process = check(kernel32.OpenProcess(TERMINATE, False, self.pid))  # It is the same one: its handle is open.
        try:
            check(kernel32.TerminateProcess(process, 1))
        finally:
            kernel32.CloseHandle(process)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        with self._closing:
            self._closed = True
            self._close_unused()

    def _close_unused(self) -> None:
        """Close the handle when no thread waits for it any more."""
        if self._closed and not self._waiting and self._handle:
            handle, self._handle = self._handle, 0
            kernel32.CloseHandle(handle)


class Watch:
    """One wait for a handle in an event loop."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell: Callable[[], None] | None = tell
        self._future: asyncio.Future[Any] | None = None

    def follow(self, future: asyncio.Future[Any]) -> None:
        self._future = future
        future.add_done_callback(self._done)

    def _done(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled():
            future.exception()
        self.ended()

    def ended(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def cancel(self) -> None:
        self._tell = None
        if self._future is not None and not self._future.done():
            self._future.cancel()


def await_handle(handle: int, tell: Callable[[], None]) -> Watch:
    """Call a function once in the running event loop, when a handle is signalled.

    asyncio's own loop on Windows waits for handles. For another loop a thread waits.
    """
    loop: Any = asyncio.get_running_loop()
    watch = Watch(tell)
    proactor = getattr(loop, "_proactor", None)
    if proactor is not None:
        watch.follow(proactor.wait_for_handle(handle))
        return watch

    def wait() -> None:
        kernel32.WaitForSingleObject(handle, INFINITE)
        with contextlib.suppress(RuntimeError):  # The loop has been closed, and nobody waits any more.
            loop.call_soon_threadsafe(watch.ended)

    threading.Thread(target=wait, name="plugmux: the end of a process", daemon=True).start()
    return watch
