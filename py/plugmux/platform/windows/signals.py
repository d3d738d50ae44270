"""The signals that end a program: Ctrl-C, Ctrl-Break, and a request to end, which only the program itself can send.

Its tree is in the job of whoever has started it, who ends it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Never

__all__ = ["ENDING", "TERMINATION", "end_children", "handle_signals", "kill_own_tree"]

TERMINATION = (signal.SIGTERM, signal.SIGBREAK)
"""By these a program is asked to end."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
"""By these a program at a console ends."""


def handle_signals(numbers: Iterable[int], act: Callable[[], object]) -> None:
    """Call a function in the running event loop at each of some signals, in place of what they did before."""
    loop = asyncio.get_running_loop()

    def received(number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # The loop has been closed.
            loop.call_soon_threadsafe(act)

    for number in numbers:
        signal.signal(number, received)


def end_children() -> None:
    """Nothing: when this process has ended, the runtime ends what is left in its job."""


def kill_own_tree() -> Never:
    """End this process at once; what it has started ends with its job. Any thread may call it."""
    os._exit(1)
