"""Ends a launched plugin, and all processes that it has started, when its runtime has died.

As a rule the plugin notices by the end of its link. But a child that the runtime has forked may hold the link open, and
a blocked event loop notices nothing. Therefore a thread watches the runtime's process. A dead runtime cannot end the
plugin's process group, so the plugin does that itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ..platform import ProcessHandle, kill_own_tree, open_process

__all__ = ["ORPHAN_CLEAN_UP_TIME", "RuntimeWatch"]

ORPHAN_CLEAN_UP_TIME = 10.0
"""Seconds that a plugin has to end in order after its runtime has died."""

DEATH_NOTICE_TIME = 0.2
"""Seconds that a plugin whose link has ended waits to see whether its runtime has died."""

OUTPUTS = (1, 2)


class RuntimeWatch:
    """Watches the runtime's process, in a thread because the event loop may be blocked.

    When the runtime has ended, the output of this process is discarded, because writing to a pipe without a reader
    would end the clean-up. This process and its children are killed when the clean-up time is over.

    Args:
        pid: the runtime's process id; 0 if it is not known.
        clean_up_time: seconds that this process may run after the runtime has ended.
        captured: whether the output of this process goes to the runtime.
    """

    def __init__(self, pid: int, clean_up_time: float = ORPHAN_CLEAN_UP_TIME, *, captured: bool = True) -> None:
        self._clean_up_time = clean_up_time
        self._captured = captured
        self._lock = threading.Lock()
        self._gone = False
        self._tell: Callable[[], None] | None = None
        self._runtime: ProcessHandle | None = None
        if pid:
            try:
                self._runtime = open_process(pid)
            except OSError:  # The runtime has died already, which has ended the link.
                self._died()
            else:
                outliving = threading.Thread(target=self._outlive, args=(self._runtime,), daemon=True)
                outliving.name = "plugmux: the runtime's end"
                outliving.start()

    def on_death(self, loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
        """Call a function in the event loop when the runtime has died; at once if it has died already."""
        with self._lock:
            if not self._gone:
                self._tell = lambda: _call(loop, tell)
                return
        tell()

    async def settle(self) -> None:
        """Wait briefly for the end of the runtime, which may follow that of the link, so that no output is written."""
        with self._lock:  # which the thread holds until the output is discarded
            if self._runtime is None or self._gone:
                return
        died = asyncio.Event()
        self._runtime.on_exit(died.set)
        try:
            async with asyncio.timeout(DEATH_NOTICE_TIME):
                await died.wait()
            self._died()
        except TimeoutError:
            pass
        finally:
            self._runtime.close()

    def _died(self) -> None:
        with self._lock:
            if self._gone:
                return
            self._gone = True
            if self._captured:
                _silence()
        if self._tell is not None:
            self._tell()

    def _outlive(self, runtime: ProcessHandle) -> None:
        runtime.wait()
        self._died()
        time.sleep(self._clean_up_time)
        kill_own_tree()


def _call(loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # The loop has been closed: the plugin has ended in order.
        loop.call_soon_threadsafe(tell)


def _silence() -> None:
    """Discard all further output."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in OUTPUTS:
        os.dup2(null, descriptor)
    os.close(null)
