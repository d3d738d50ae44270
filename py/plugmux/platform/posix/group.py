"""The tree of this process: the group that it leads, where it leads one."""

from __future__ import annotations

import os
import signal

__all__ = ["end_children", "kill_own_tree"]


def end_children() -> None:
    """Ask the other processes of the group of this process to end, if it leads one."""
    if _leads_its_group():
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)


def kill_own_tree() -> None:
    """End this process at once, and its group if it leads one. Any thread may call it."""
    if _leads_its_group():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _leads_its_group() -> bool:
    return os.getpgrp() == os.getpid()
