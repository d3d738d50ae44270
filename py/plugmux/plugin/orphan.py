"""No orphans: a launched plugin, and all that it has started, ends when its runtime has died.

A plugin hears of it by the end of its link. A link that somebody else holds open, as a child does that the runtime has
forked, tells nothing, and a blocked event loop hears nothing: so a thread watches the runtime's process. What a dead
runtime cannot do any more, ending the plugin's process group, the plugin does itself.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["ORPHAN_CLEAN_UP_TIME", "RuntimeWatch", "end_children"]

ORPHAN_CLEAN_UP_TIME = 10.0
"""Seconds that a plugin has to end in order once its runtime has died."""

NEWS_TIME = 0.2
"""Seconds that a plugin whose link has ended waits to hear whether its runtime has died."""

OUTPUTS = (1, 2)


class RuntimeWatch:
    """Watches the runtime's process, in a thread: the event loop may be blocked.

    Once it has ended, output goes nowhere: what is written to a pipe that nobody reads would end the clean-up. What is
    left of this process, and of its group, is killed when its time is over. Where the system cannot watch a process
    nothing is done.

    Args:
        pid: the runtime's process id; 0 where it is not known.
        clean_up_time: seconds that this process has then.
        captured: whether this process' output goes to the runtime.
    """

    def __init__(self, pid: int, clean_up_time: float = ORPHAN_CLEAN_UP_TIME, *, captured: bool = True) -> None:
        self._clean_up_time = clean_up_time
        self._captured = captured
        self._lock = threading.Lock()
        self._gone = False
        self._tell: Callable[[], None] | None = None
        self._runtime: int | None = None
        if pid and hasattr(os, "pidfd_open"):
            try:
                self._runtime = os.pidfd_open(pid)
            except OSError:  # It has died already, and with it the link.
                self._died()
            else:
                threading.Thread(target=self._outlive, name="plugmux: the runtime's end", daemon=True).start()

    def on_death(self, loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
        """Have a function called in the event loop when the runtime has died; at once where it has."""
        with self._lock:
            if not self._gone:
                self._tell = lambda: _call(loop, tell)
                return
        tell()

    async def settle(self) -> None:
        """Wait a moment for word of the runtime's end: the link's may come first, and nothing is to be printed then."""
        if self._runtime is None or self._gone:
            return
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._runtime, heard.set)
        try:
            async with asyncio.timeout(NEWS_TIME):
                await heard.wait()
            self._died()
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(self._runtime)

    def _died(self) -> None:
        with self._lock:
            if self._gone:
                return
            self._gone = True
            if self._captured:
                _silence()
        if self._tell is not None:
            self._tell()

    def _outlive(self) -> None:
        poll = select.poll()
        poll.register(self._runtime or 0, select.POLLIN)
        poll.poll()
        self._died()
        time.sleep(self._clean_up_time)
        if _leads_its_group():
            os.killpg(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def _call(loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # The loop has been closed: the plugin has ended in order.
        loop.call_soon_threadsafe(tell)


def _silence() -> None:
    """Let output go nowhere from now on."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in OUTPUTS:
        os.dup2(null, descriptor)
    os.close(null)


def end_children() -> None:
    """Ask all that this process has started, and that is still in its group, to end. It comes through itself."""
    if _leads_its_group():
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)


def _leads_its_group() -> bool:
    return os.getpgrp() == os.getpid()
