"""The state of one stream in a session, and the events that a session gives.

A stream has three independent parts of state, each with one enum:

- its *handshake*, from the side that opened it (top) or was asked to (bottom):

      BACKLOGGED ── a place is free ──> SYN_PENDING ── first frame out ──> SYN_SENT ── ACK ──> ESTABLISHED
      SYN_RECEIVED ── accepted here ──> ACK_PENDING ── next frame out ──> ESTABLISHED

- its *sending* half: OPEN ── nothing more will be written ──> ENDING ── FIN out ──> ENDED;
- its *receiving* half: OPEN ── FIN in ──> ENDED.

A RST, either way, ends both halves. With both halves ENDED the session forgets the stream.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Any, Final

from ..errors import LinkError
from .frame import INITIAL_WINDOW, GoAwayCode

__all__ = [
    "DataReceived",
    "SessionEvent",
    "GoAwayReceived",
    "Half",
    "Handshake",
    "PongReceived",
    "SessionEnded",
    "Stream",
    "StreamAcknowledged",
    "StreamDrained",
    "StreamEnded",
    "StreamFinished",
    "StreamOpened",
    "StreamWasReset",
]


class Handshake(Enum):
    """How far the two sides have agreed that the stream exists."""

    BACKLOGGED = auto()  # opened here while the peer's backlog is full; nothing may be sent yet
    SYN_PENDING = auto()  # opened here; the next frame carries SYN
    SYN_SENT = auto()
    SYN_RECEIVED = auto()  # opened by the peer; not accepted yet
    ACK_PENDING = auto()  # accepted here; the next frame carries ACK
    ESTABLISHED = auto()


class Half(Enum):
    """One direction of a stream."""

    OPEN = auto()
    ENDING = auto()  # sending only: FIN follows the last queued byte
    ENDED = auto()


# Module-level names: Python 3.11 looks a member up through its class each time, about a hundred times in a call. A
# compiled module finds a final name without any look-up.
BACKLOGGED: Final = Handshake.BACKLOGGED
SYN_PENDING: Final = Handshake.SYN_PENDING
SYN_SENT: Final = Handshake.SYN_SENT
SYN_RECEIVED: Final = Handshake.SYN_RECEIVED
ACK_PENDING: Final = Handshake.ACK_PENDING
ESTABLISHED: Final = Handshake.ESTABLISHED

OPEN: Final = Half.OPEN
ENDING: Final = Half.ENDING
ENDED: Final = Half.ENDED


class Stream:
    """The state of one stream; only its session writes it.

    Attributes:
        id: the stream id on the wire.
        owner: free for the caller of the session.
        handshake, sending, receiving: see above.
        pending: chunks that are queued for sending, and `pending_size` their bytes.
        notify_at: a `StreamDrained` event follows once when `pending_size` has sunk to this; -1 asks for none.
        send_window: bytes that the peer lets us send now.
        receive_window: bytes that the peer may send now.
        window: bytes that the receive window is filled up to.
        consumed: bytes that the reader has taken and the peer has not been credited for.
        credit_step: bytes of these from which the peer is credited for them.
        credited: bytes that the peer has been credited for, growth of the window apart.
        held: bytes of memory that count for the stream: received bytes that are kept, and the stream's own size.
        credited_at: the time of the last credit, for growing the window.
        queued: whether the stream stands in the session's round robin.
        ended: whether both halves are over, so that the session has forgotten the stream.
    """

    __slots__ = (
        "consumed",
        "credit_step",
        "credited",
        "credited_at",
        "ended",
        "handshake",
        "held",
        "id",
        "notify_at",
        "owner",
        "pending",
        "pending_size",
        "queued",
        "receive_window",
        "receiving",
        "send_window",
        "sending",
        "window",
    )

    def __init__(self, stream_id: int, handshake: Handshake, now: float) -> None:
        self.id = stream_id
        self.owner: Any = None
        self.handshake = handshake
        self.sending: Half = OPEN
        self.receiving: Half = OPEN
        self.pending: deque[bytes | memoryview] | None = None
        self.pending_size = 0
        self.notify_at = -1
        self.send_window = INITIAL_WINDOW
        self.receive_window = INITIAL_WINDOW
        self.window = INITIAL_WINDOW
        self.consumed = 0
        self.credit_step = INITIAL_WINDOW // 2
        self.credited = 0
        self.held = 0
        self.credited_at = now
        self.queued = False
        self.ended = False

    def queue(self, data: bytes) -> None:
        """Put bytes behind those that are queued for sending."""
        if self.pending is None:
            self.pending = deque()
        self.pending.append(data)
        self.pending_size += len(data)

    def __repr__(self) -> str:
        return (
            f"<Stream {self.id} {self.handshake.name} sending {self.sending.name}, receiving {self.receiving.name}, "
            f"{self.pending_size} bytes queued>"
        )


class SessionEvent:
    """Something happened; each subclass says what."""

    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        kinds = type(self).__mro__[:-1]  # Attributes are descriptors of them, compiled or not.
        names = sorted(name for kind in kinds for name, kept in vars(kind).items() if hasattr(kept, "__set__"))
        return f"{type(self).__name__}({', '.join(f'{name}={_show(getattr(self, name))}' for name in names)})"


def _show(value: object) -> str:
    if isinstance(value, Stream):
        return str(value.id)
    return f"{len(value)} bytes" if isinstance(value, bytes) else repr(value)


class StreamEvent(SessionEvent):
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


class DataReceived(SessionEvent):
    """Bytes came on a stream; call `Session.consume` when they have been read."""

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
    """The FIN of a stream has been sent, and before it all that was written."""

    __slots__ = ()


class StreamWasReset(SessionEvent):
    """A stream was reset, by the peer or because of a fault of the peer; `error` says which."""

    __slots__ = ("error", "stream")

    def __init__(self, stream: Stream, error: LinkError) -> None:
        self.stream = stream
        self.error = error


class PongReceived(SessionEvent):
    """The peer answered the ping `ping_id`, `rtt` seconds after it was queued."""

    __slots__ = ("ping_id", "rtt")

    def __init__(self, ping_id: int, rtt: float) -> None:
        self.ping_id = ping_id
        self.rtt = rtt


class GoAwayReceived(SessionEvent):
    """The peer takes no new streams; those that are open go on."""

    __slots__ = ("code",)

    def __init__(self, code: GoAwayCode) -> None:
        self.code = code


class SessionEnded(SessionEvent):
    """The session has ended; write what `data_to_send` still gives, then close the connection."""

    __slots__ = ("error",)

    def __init__(self, error: LinkError) -> None:
        self.error = error
