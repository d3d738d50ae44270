"""Times on the wire, where an unset one is absent or of the year 1.

Docker's Go sends `0001-01-01T00:00:00Z` for a time that nobody has set, and takes an absent one for 1970. So both are
read as unset, and what is unset goes out as the year 1. (wire.md section 5.)
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
    """Read a time off the wire; `None` where it is unset.

    Args:
        message: has the time.
        field: the name of the field.

    Raises:
        ValueError: it is out of range. (Or an `OverflowError`.)
    """
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    time = stamp.ToDatetime(tzinfo=UTC)
    return None if time.year == UNSET.year else time


def write_time(time: datetime | None) -> Timestamp:
    """Write a time for the wire, an unset one as the year 1."""
    stamp = Timestamp()
    stamp.FromDatetime(UNSET if time is None else time)
    return stamp
