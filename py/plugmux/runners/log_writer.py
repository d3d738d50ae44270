"""Writes what a detached plugin prints to a file of bounded length: a program of its own, as no runtime may be there.

    python -I -S log_writer.py FILE BYTES < what the plugin prints

It ends when the last process that prints there has ended. When the file is full it becomes `FILE.1`, in the place of
the one before. What cannot be written, as on a full disk, is dropped: the plugin must not stand still because of it.
"""

import os
import sys
from contextlib import suppress

CHUNK = 65536


def write(source: int, path: str, limit: int) -> None:
    """Copy everything from a descriptor to a file.

    Args:
        source: the descriptor.
        path: the file; it is appended to.
        limit: the most bytes of the file, and of the one before.
    """
    log, size = _open(path)
    while data := os.read(source, min(CHUNK, limit)):
        with suppress(OSError):
            if size + len(data) > limit:
                os.replace(path, f"{path}.1")
                full, (log, size) = log, _open(path)
                os.close(full)
            size += os.write(log, data)


def _open(path: str) -> tuple[int, int]:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return log, os.fstat(log).st_size


if __name__ == "__main__":
    write(0, sys.argv[1], int(sys.argv[2]))
