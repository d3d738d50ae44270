"""Converts times of messages, where a time is unset if it is absent or in the year 1.

Docker's Go code sends `0001-01-01T00:00:00Z` for an unset time, and reads an absent one as 1970. Therefore both forms
are read as unset, and an unset time is sent as the year 1. (docs/wire.md section 5.)
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from plugmux_proto.google.protobuf.timestamp_pb2 import Timestamp

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["UNSET", "read_time", "write_time"]

UNSET = datetime(1, 1, 1, tzinfo=UTC)


def read_time(message: Message, field: str) -> datetime | None:
    """Read a time from a message; `None` if it is unset.

    Args:
        message: the message.
        field: the name of the field.

    Raises:
        ValueError: the time is out of range. (Or an `OverflowError`.)
    """
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    time = stamp.ToDatetime(tzinfo=UTC)
    return None if time.year == UNSET.year else time


def write_time(time: datetime | None) -> Timestamp:
    """Convert a time for a message; an unset one becomes the year 1."""
    stamp = Timestamp()
    stamp.FromDatetime(UNSET if time is None else time)
    return stamp
