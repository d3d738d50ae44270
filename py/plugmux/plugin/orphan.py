"""No orphans: a launched plugin, and all that it has started, ends when its runtime has died.

A plugin hears of it by the end of its link, on its event loop. What a blocked loop cannot hear, a thread does; what a
dead runtime cannot do any more, ending the plugin's process group, the plugin does itself.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time

__all__ = ["end_children", "end_with"]

GRACE = 1.0
"""Seconds that the plugin has to end in order once its runtime has died."""


def end_with(runtime_pid: int) -> None:
    """End this process, and its group, soon after the runtime's process has ended, if it is still there by then.

    Only a thread can do it: the event loop may be blocked. Where the system cannot watch a process it is not done.

    Args:
        runtime_pid: the runtime's process id; 0 where it is not known.
    """
    if not runtime_pid or not hasattr(os, "pidfd_open"):
        return
    try:
        runtime = os.pidfd_open(runtime_pid)
    except OSError:  # It has died already, and with it the link.
        return
    threading.Thread(target=_outlive, args=(runtime,), name="plugmux: the runtime's end", daemon=True).start()


def _outlive(runtime: int) -> None:
    poll = select.poll()
    poll.register(runtime, select.POLLIN)
    poll.poll()
    time.sleep(GRACE)
    if _leads_its_group():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def end_children() -> None:
    """Ask all that this process has started, and that is still in its group, to end. It comes through itself."""
    if _leads_its_group():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(os.getpid(), signal.SIGTERM)


def _leads_its_group() -> bool:
    return os.getpgrp() == os.getpid()
