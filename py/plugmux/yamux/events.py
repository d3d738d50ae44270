"""What a session tells the one who drives it."""

from __future__ import annotations

from ..errors import LinkError
from .frame import GoAwayCode
from .state import Stream

__all__ = [
    "DataReceived",
    "Event",
    "GoAwayReceived",
    "PongReceived",
    "SessionEnded",
    "StreamAcknowledged",
    "StreamDrained",
    "StreamEnded",
    "StreamFinished",
    "StreamOpened",
    "StreamWasReset",
]


class Event:
    """Something happened; the subclasses say what."""

    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        names = [name for kind in type(self).__mro__ for name in getattr(kind, "__slots__", ())]
        return f"{type(self).__name__}({', '.join(f'{name}={_show(getattr(self, name))}' for name in names)})"


def _show(value: object) -> str:
    if isinstance(value, Stream):
        return str(value.id)
    return f"{len(value)} bytes" if isinstance(value, bytes) else repr(value)


class StreamEvent(Event):
    """Something happened to `stream`."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream


class StreamOpened(StreamEvent):
    """The peer opened a stream; it waits for `Session.accept`."""

    __slots__ = ()


class StreamAcknowledged(StreamEvent):
    """The peer accepted a stream that was opened here."""

    __slots__ = ()


class DataReceived(Event):
    """Bytes came on a stream; `Session.consume` is to be told when they have been read."""

    __slots__ = ("data", "stream")

    def __init__(self, stream: Stream, data: bytes) -> None:
        self.stream = stream
        self.data = data


class StreamEnded(StreamEvent):
    """The peer half-closed a stream: no more bytes come on it."""

    __slots__ = ()


class StreamDrained(StreamEvent):
    """The bytes queued on a stream have sunk to `stream.notify_at`."""

    __slots__ = ()


class StreamFinished(StreamEvent):
    """The FIN of a stream has been put out, and with it all that was written."""

    __slots__ = ()


class StreamWasReset(Event):
    """A stream ended at once, by the peer or for a fault of the peer; `error` says how."""

    __slots__ = ("error", "stream")

    def __init__(self, stream: Stream, error: LinkError) -> None:
        self.stream = stream
        self.error = error


class PongReceived(Event):
    """The peer answered the ping `ping_id`, `rtt` seconds after it was queued."""

    __slots__ = ("ping_id", "rtt")

    def __init__(self, ping_id: int, rtt: float) -> None:
        self.ping_id = ping_id
        self.rtt = rtt


class GoAwayReceived(Event):
    """The peer takes no new streams; those that are open go on."""

    __slots__ = ("code",)

    def __init__(self, code: GoAwayCode) -> None:
        self.code = code


class SessionEnded(Event):
    """The session is over; put out what `data_to_send` still gives, then close the connection."""

    __slots__ = ("error",)

    def __init__(self, error: LinkError) -> None:
        self.error = error
