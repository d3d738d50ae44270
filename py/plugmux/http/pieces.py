"""Pieces of a body that wait for the rest of it: they take up little more memory than their bytes."""

from __future__ import annotations

from .body import Buffer

__all__ = ["Pieces", "compact", "keep"]

Pieces = list[Buffer | bytearray]

SMALL = 1024
"""Pieces below this size are joined as they come, in bytes: each by itself would take up to twenty times its size."""


def keep(pieces: Pieces, data: Buffer) -> None:
    """Append a piece, or join it to the last one."""
    if len(data) >= SMALL:
        pieces.append(data if isinstance(data, bytes) else _without_surroundings(data))
    elif pieces and type(pieces[-1]) is bytearray:
        pieces[-1] += data
    else:
        pieces.append(bytearray(data))


def compact(pieces: Pieces) -> None:
    """Have a first piece that was appended as it came take up no more than its size."""
    if len(pieces) == 1 and isinstance(first := pieces[0], memoryview):
        pieces.clear()
        keep(pieces, first)


def _without_surroundings(data: memoryview) -> Buffer:
    """A view of most of its object as it is, and a copy of any other, so that it keeps no more alive than it shows."""
    whole = data.obj
    return data if isinstance(whole, bytes) and len(whole) <= 2 * len(data) else bytes(data)
