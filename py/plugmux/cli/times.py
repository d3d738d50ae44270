"""How times are written on stdout: RFC 3339, in UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from plugmux_proto.google.protobuf.timestamp_pb2 import Timestamp

__all__ = ["as_rfc3339", "wire_time"]


def as_rfc3339(time: datetime) -> str:
    """A time in UTC."""
    return time.isoformat().replace("+00:00", "Z")


def wire_time(time: Timestamp) -> str:
    """A time from the wire, to the millisecond."""
    from datetime import UTC

    told = time.ToDatetime(UTC)
    return as_rfc3339(told.replace(microsecond=told.microsecond // 1000 * 1000))
