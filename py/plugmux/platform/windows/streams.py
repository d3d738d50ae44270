"""What a child inherits: the ends of its link, and the pipes of its output. A stream is a handle.

A child inherits synchronous handles, as those of anonymous pipes are: any language can read and write them. This side's
ends are overlapped where the event loop can wait for them: it then serves the pipes of any number of children without a
thread. In another event loop they are synchronous, and threads serve them.
"""

from __future__ import annotations

import ctypes
import os
from asyncio import windows_utils
from collections.abc import Mapping
from typing import Any, Literal

from ..interface import BlockingPipes
from .native.blocking import HandlePipes
from .native.kernel import check, kernel32, ntdll, open_handle
from .native.loop import waits_for_pipes

__all__ = ["LinkEnds", "adopt_pipes", "claim_link", "close_stream", "link_ends", "open_null", "output_pipe"]

BUFFER_SIZE = 64 * 1024
GENERIC_READ = 0x8000_0000
SHARE_ALL = 0x7
OPEN_EXISTING = 3
FILE_TYPE_PIPE = 3
FILE_MODE = 16
SYNCHRONOUS = 0x30
"""FILE_SYNCHRONOUS_IO_ALERT and FILE_SYNCHRONOUS_IO_NONALERT."""


class LinkEnds:
    """The four streams that a link with a child begins as.

    Args:
        ours: the stream to read from and the one to write to.
        theirs: the same for the child.

    Attributes:
        numbers: by which the child knows its two, for its launch configuration.
        streams: what the child inherits, for `start_child`.
    """

    def __init__(self, ours: tuple[int, int], theirs: tuple[int, int]) -> None:
        self._ours: tuple[int, ...] = ours
        self._theirs: tuple[int, ...] = theirs
        self.numbers = theirs
        self.streams: Mapping[int, int] = {handle: handle for handle in theirs}

    def take(self) -> tuple[int, int]:
        """This side's two streams, which are the caller's from now on; once, and not after `close`."""
        (read, write), self._ours = self._ours, ()
        return read, write

    def close_theirs(self) -> None:
        """Close the child's ends here: it has inherited them."""
        streams, self._theirs = self._theirs, ()
        for stream in streams:
            close_stream(stream)

    def close(self) -> None:
        """Close whatever has not been taken."""
        self.close_theirs()
        streams, self._ours = self._ours, ()
        for stream in streams:
            close_stream(stream)


def link_ends(kind: Literal["socket", "pipes"]) -> LinkEnds:
    """Make the ends of a link: two pipes, whichever kind is asked for.

    Raises:
        OSError: they cannot be made.
    """
    overlapped = (waits_for_pipes(), False)
    our_read, their_write = windows_utils.pipe(overlapped=overlapped, bufsize=BUFFER_SIZE)
    try:  # The loop also reads from the end that it writes to, to hear of its end.
        our_write, their_read = windows_utils.pipe(overlapped=overlapped, duplex=True, bufsize=BUFFER_SIZE)
    except BaseException:
        close_stream(our_read)
        close_stream(their_write)
        raise
    return LinkEnds((our_read, our_write), (their_read, their_write))


def claim_link(read: int, write: int) -> None:
    """Make the ends of a link that this process has inherited its own: its children do not inherit them.

    Raises:
        ValueError: one of them is not open, or is not of a kind that can carry a link; the message says what it is.
    """
    if read == write:
        raise ValueError(f'handle {read} alone: on Windows a link has two, "r" and "w"')
    for handle in (read, write):
        if kernel32.GetFileType(handle) != FILE_TYPE_PIPE:
            raise ValueError(f"handle {handle}, which is not a pipe")
        try:
            os.set_handle_inheritable(handle, False)
        except OSError as error:
            raise ValueError(f"handle {handle}: {error}") from None


def adopt_pipes(read: int, write: int) -> tuple[Any, Any] | BlockingPipes:
    """Two pipes as files for the event loop; as pipes for threads, where the handles are synchronous."""
    if _is_overlapped(read) and _is_overlapped(write):
        return windows_utils.PipeHandle(read), windows_utils.PipeHandle(write)
    return HandlePipes(read, write)


def output_pipe() -> tuple[Any, int]:
    """A pipe for what a child prints: the end to read from, and the child's stream.

    The end is a file for `loop.connect_read_pipe`, or pipes for threads (see `BlockingPipes`), which are only read.
    """
    overlapped = waits_for_pipes()
    read, write = windows_utils.pipe(overlapped=(overlapped, False), bufsize=BUFFER_SIZE)
    return windows_utils.PipeHandle(read) if overlapped else HandlePipes(read, read), write


def open_null() -> int:
    """A stream that has nothing to read."""
    return open_handle(kernel32.CreateFileW("NUL", GENERIC_READ, SHARE_ALL, None, OPEN_EXISTING, 0, None))


def close_stream(stream: int) -> None:
    """Close a stream."""
    check(kernel32.CloseHandle(stream))


def _is_overlapped(handle: int) -> bool:
    """Whether an event loop can read and write a handle; what this process has inherited is as a rule not so."""
    mode, status = ctypes.c_ulong(), (ctypes.c_size_t * 2)()
    done = ntdll.NtQueryInformationFile(
        handle, ctypes.byref(status), ctypes.byref(mode), ctypes.sizeof(mode), FILE_MODE
    )
    return done >= 0 and not mode.value & SYNCHRONOUS
