"""Learns of the end of a process: by a pidfd (Linux), by kqueue (macOS, BSD), or by a thread that waits."""

from __future__ import annotations

import asyncio
import functools
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from ..interface import ProcessHandle

__all__ = ["KqueueHandle", "PidfdHandle", "PosixHandle", "ThreadHandle", "open_process"]

KERNEL: Any = select
"""Linux has not all of its names."""

LOOK_INTERVAL = 0.05
"""Seconds between two looks at a process that is no child of this one, where the system tells nothing by itself."""


class PosixHandle(ProcessHandle, Protocol):
    """A handle that also knows whether a child is still to be collected."""

    def is_uncollected(self) -> bool:
        """Whether a child that has ended waits to be collected: `False` when somebody else has collected it."""


def open_process(pid: int) -> PosixHandle:
    """Watch a process, of this user or another.

    Raises:
        ProcessLookupError: there is no such process.
        OSError: no descriptor is left.
    """
    return best_handle()(pid)


@functools.cache
def best_handle() -> type[PidfdHandle | KqueueHandle | ThreadHandle]:
    """The best way that this system has."""
    if hasattr(os, "pidfd_open"):
        with suppress(OSError):  # An old kernel does not know the call, and some sandboxes forbid it.
            os.close(os.pidfd_open(os.getpid()))
            return PidfdHandle
    return KqueueHandle if hasattr(select, "kqueue") else ThreadHandle


class _DescriptorHandle:
    """A process whose end makes a descriptor readable."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._loop: asyncio.AbstractEventLoop | None = None

    def on_exit(self, tell: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._ended, tell)

    def _ended(self, tell: Callable[[], None]) -> None:
        self._unwatch()
        tell()

    def _unwatch(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        self._loop = None


class PidfdHandle(_DescriptorHandle):
    """A process as a descriptor of its own, which no later process can be behind. (See `ProcessHandle`.)"""

    def __init__(self, pid: int) -> None:
        super().__init__(pid, os.pidfd_open(pid))

    def wait(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.poll()

    def send_signal(self, number: int) -> None:
        signal.pidfd_send_signal(self._descriptor, number)

    def is_uncollected(self) -> bool:
        return _waits(os.P_PIDFD, self._descriptor)

    def close(self) -> None:
        self._unwatch()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class KqueueHandle(_DescriptorHandle):
    """A process whose end a kqueue tells. (See `ProcessHandle`.)"""

    def __init__(self, pid: int) -> None:
        self._queue = KERNEL.kqueue()
        super().__init__(pid, self._queue.fileno())
        try:
            self._gone = not _tells_of(self._queue, pid)
        except BaseException:
            self._queue.close()
            raise

    def on_exit(self, tell: Callable[[], None]) -> None:
        if self._gone:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._tell_if_open, tell)
        else:
            super().on_exit(tell)

    def _tell_if_open(self, tell: Callable[[], None]) -> None:
        if self._loop is not None:
            self._loop = None
            tell()

    def wait(self) -> None:
        queue = KERNEL.kqueue()  # Its own: what one reader takes from a queue, another does not see.
        with queue, suppress(ProcessLookupError):
            if _tells_of(queue, self.pid):
                queue.control(None, 1, None)

    def send_signal(self, number: int) -> None:
        if self._gone or self._queue.control(None, 1, 0):
            self._gone = True
            raise ProcessLookupError
        os.kill(self.pid, number)

    def is_uncollected(self) -> bool:
        # Python has no waitid on macOS before 3.13. Then nothing tells, and the child is taken to wait.
        return not hasattr(os, "waitid") or _waits(os.P_PID, self.pid)

    def _unwatch(self) -> None:
        if not self._gone:
            super()._unwatch()
        self._loop = None

    def close(self) -> None:
        if not self._queue.closed:
            self._unwatch()
            self._queue.close()


class ThreadHandle:
    """A process whose end a thread waits for: where the system has nothing that an event loop can watch.

    (See `ProcessHandle`.) The thread ends with the process. It blocks while the process is a child of this one, and
    looks at intervals otherwise.
    """

    def __init__(self, pid: int) -> None:
        with suppress(PermissionError):  # It is another user's, and so it is there.
            os.kill(pid, 0)
        self.pid = pid
        self._tell: Callable[[], None] | None = None

    def on_exit(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        told = (asyncio.get_running_loop(),)
        threading.Thread(target=self._watch, args=told, name=f"plugmux: the end of {self.pid}", daemon=True).start()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self.wait()
        with suppress(RuntimeError):  # The loop has been closed, and nobody waits any more.
            loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def wait(self) -> None:
        with suppress(ChildProcessError):  # It is no child, or somebody else has collected it.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            return
        while _exists(self.pid):
            time.sleep(LOOK_INTERVAL)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def is_uncollected(self) -> bool:
        return _waits(os.P_PID, self.pid)

    def close(self) -> None:
        self._tell = None


def _waits(kind: int, number: int) -> bool:
    try:
        os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _tells_of(queue: Any, pid: int) -> bool:
    """Let a queue tell of the end of a process; `False` if the process has ended, and waits to be collected.

    Raises:
        ProcessLookupError: there is no such process.
    """
    event = KERNEL.kevent(pid, KERNEL.KQ_FILTER_PROC, KERNEL.KQ_EV_ADD, KERNEL.KQ_NOTE_EXIT)
    try:
        queue.control([event], 0)
    except ProcessLookupError:
        with suppress(PermissionError):
            os.kill(pid, 0)  # This finds processes that have ended, where kqueue does not.
        return False
    return True
