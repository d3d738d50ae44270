"""How memory that bulk passes through is kept from going back and forth between this process and the system.

What a large message moves in is freed as fast as it is made. glibc gives freed memory back to the system as soon as
there are 128 KiB of it, so that the next message faults it in again page by page, which is more work than all of ours.
When it sees a larger block freed, it takes such blocks for common, serves them from its heap, and keeps twice as much
(mallopt(3), "M_MMAP_THRESHOLD"). Other allocators take no notice.
"""

from __future__ import annotations

from typing import Final

__all__ = ["keep_freed_memory"]

COMMON: Final = 4 * 1024 * 1024


def keep_freed_memory() -> None:
    """Show the allocator a block of 4 MiB, never touched, and free it; harmless any number of times."""
    bytes(COMMON)
