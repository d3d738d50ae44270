"""The signals that end a program."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable

__all__ = ["ENDING", "TERMINATION", "handle_signals"]

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
