"""What a check may find out, besides that its statement holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import PlugmuxError

__all__ = ["Failed", "NotApplicable", "expect", "timed_out"]


class Failed(PlugmuxError):
    """The statement of a check does not hold; the message says what the plugin did in its place."""


class NotApplicable(PlugmuxError):
    """The statement is about something that the plugin does not have; the message says what."""


def expect(holds: object, otherwise: str) -> None:
    """See that something holds.

    Args:
        holds: whether it does.
        otherwise: what the plugin did in its place.

    Raises:
        Failed: it does not hold.
    """
    if not holds:
        raise Failed(otherwise)


@contextmanager
def timed_out(otherwise: str) -> Iterator[None]:
    """Let a time limit that runs out in the block tell what did not come in time.

    Raises:
        Failed: a `TimeoutError` came out of the block.
    """
    try:
        yield
    except TimeoutError:
        raise Failed(otherwise) from None
