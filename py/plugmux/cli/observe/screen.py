"""A terminal as a screen: drawn as a whole, with keys read one by one, and left as it was found."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..output import terminal_size, write_screen

__all__ = ["Screen", "is_usable", "opened"]

MAX_KEYS = 64
"""Keys that wait to be read; more are dropped."""


def is_usable() -> bool:
    """Whether stdin and stdout are a terminal whose keys can be read one by one."""
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        import termios  # noqa: F401 -- not on every system
    except ImportError:
        return False
    return True


class Screen:
    """The screen, while it is opened.

    Attributes:
        keys: those that have been pressed, as characters.
    """

    def __init__(self) -> None:
        self.keys: asyncio.Queue[str] = asyncio.Queue(MAX_KEYS)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        return terminal_size(sys.stdout)

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines, and nothing else."""
        write_screen(lines)

    def read_keys(self) -> None:
        """Take what has been typed."""
        import os

        for key in os.read(sys.stdin.fileno(), MAX_KEYS).decode(errors="replace") or "q":
            if not self.keys.full():
                self.keys.put_nowait(key)


@contextmanager
def opened() -> Iterator[Screen]:
    """A screen of its own for the length of a block; then the terminal shows what it did before."""
    import termios
    import tty

    fd, screen, loop = sys.stdin.fileno(), Screen(), asyncio.get_running_loop()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    write_screen((), enter=True)
    loop.add_reader(fd, screen.read_keys)
    try:
        yield screen
    finally:
        loop.remove_reader(fd)
        write_screen((), leave=True)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
