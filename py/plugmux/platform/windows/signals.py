"""The signals that end a program: Ctrl-C, Ctrl-Break, and a request to end, which only the program itself can send."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType

__all__ = ["ENDING", "TERMINATION", "handle_signals"]

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
