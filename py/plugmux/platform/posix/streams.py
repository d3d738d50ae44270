"""What a child inherits: the ends of its link, and the pipes of its output. A stream is a descriptor."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from typing import BinaryIO, Literal

from ..interface import BlockingPipes

__all__ = ["LinkEnds", "adopt_pipes", "claim_link", "close_stream", "link_ends", "open_null", "output_pipe"]

FIRST_LINK_FD = 3


class LinkEnds:
    """The four or two streams that a link with a child begins as.

    Args:
        ours: the stream to read from and the one to write to; one twice for a socket.
        theirs: the same for the child.

    Attributes:
        numbers: by which the child knows its two, for its launch configuration.
        streams: what the child inherits, for `start_child`.
    """

    def __init__(self, ours: tuple[int, int], theirs: tuple[int, int]) -> None:
        self._ours: tuple[int, ...] = ours
        self._theirs: tuple[int, ...] = theirs
        self.numbers = (FIRST_LINK_FD, FIRST_LINK_FD + (theirs[0] != theirs[1]))
        self.streams: Mapping[int, int] = dict(zip(self.numbers, theirs, strict=True))

    def take(self) -> tuple[int, int]:
        """This side's two streams, which are the caller's from now on; once, and not after `close`."""
        (read, write), self._ours = self._ours, ()
        return read, write

    def close_theirs(self) -> None:
        """Close the child's ends here: it has inherited them."""
        streams, self._theirs = set(self._theirs), ()
        for stream in streams:
            os.close(stream)

    def close(self) -> None:
        """Close whatever has not been taken."""
        self.close_theirs()
        streams, self._ours = set(self._ours), ()
        for stream in streams:
            os.close(stream)


def link_ends(kind: Literal["socket", "pipes"]) -> LinkEnds:
    """Make the ends of a link: a pair of connected sockets, or two pipes.

    Raises:
        OSError: no descriptor is left.
    """
    if kind == "socket":
        here, there = (sock.detach() for sock in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
        return LinkEnds((here, here), (there, there))
    with ExitStack() as opened:
        our_read, their_write = _pipe(opened)
        their_read, our_write = _pipe(opened)
        opened.pop_all()
    return LinkEnds((our_read, our_write), (their_read, their_write))


def claim_link(read: int, write: int) -> None:
    """Make the ends of a link that this process has inherited its own: its children do not inherit them.

    Raises:
        ValueError: one of them is not open, or is not of a kind that can carry a link; the message says what it is.
    """
    for descriptor in dict.fromkeys((read, write)):
        try:
            mode = os.fstat(descriptor).st_mode
            os.set_inheritable(descriptor, False)
        except (OSError, OverflowError) as error:
            raise ValueError(f"descriptor {descriptor}: {error}") from None
        if not (stat.S_ISSOCK(mode) or (read != write and stat.S_ISFIFO(mode))):
            kind = "neither a socket nor a pipe" if read != write else "not a socket"
            raise ValueError(f"descriptor {descriptor}, which is {kind}")


def adopt_pipes(read: int, write: int) -> tuple[BinaryIO, BinaryIO] | BlockingPipes:
    """Two pipes as files, for the event loop; both are closed where this fails.

    Raises:
        OSError: one of them is not open.
    """
    try:
        reading = os.fdopen(read, "rb", 0)
    except BaseException:
        os.close(write)
        raise
    try:
        return reading, os.fdopen(write, "wb", 0)
    except BaseException:
        reading.close()
        raise


def output_pipe() -> tuple[BinaryIO, int]:
    """A pipe for what a child prints: the end to read from, for `loop.connect_read_pipe`, and the child's stream."""
    read, write = os.pipe()
    return os.fdopen(read, "rb", 0), write


def open_null() -> int:
    """A stream that has nothing to read."""
    return os.open(os.devnull, os.O_RDONLY)


def close_stream(stream: int) -> None:
    """Close a stream."""
    os.close(stream)


def _pipe(opened: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        opened.callback(os.close, end)
    return ends
