"""The signals that end a program, and its tree: the group that it leads, where it leads one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable

__all__ = ["ENDING", "TERMINATION", "end_children", "handle_signals", "kill_own_tree"]

TERMINATION = (signal.SIGTERM,)
"""By these a program is asked to end."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""By these a program at a terminal ends: an interrupt, a request to end, the end of the terminal."""


def handle_signals(numbers: Iterable[int], act: Callable[[], object]) -> None:
    """Call a function in the running event loop at each of some signals, in place of what they did before."""
    import asyncio  # here, since help texts of the command line name the signals

    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, act)


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
