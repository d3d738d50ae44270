"""What a session knows of one stream.

A stream has three independent parts of state, each with one enum:

- its *handshake*, from the side that opened it (top) or was asked to (bottom):

      HELD ── a place in the backlog ──> SYN_OWED ── first frame out ──> SYN_SENT ── ACK ──> ESTABLISHED
      SYN_RECEIVED ── accepted here ──> ACK_OWED ── next frame out ──> ESTABLISHED

- its *sending* half: OPEN ── nothing more will be written ──> ENDING ── FIN out ──> ENDED;
- its *receiving* half: OPEN ── FIN in ──> ENDED.

A RST, either way, ends both halves. With both halves ENDED the session forgets the stream.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Any

from .frame import INITIAL_WINDOW

__all__ = ["Half", "Handshake", "Stream"]


class Handshake(Enum):
    """How far the two sides have agreed that the stream exists."""

    HELD = auto()  # opened here while the backlog is full; nothing may be sent yet
    SYN_OWED = auto()  # opened here; the next frame carries SYN
    SYN_SENT = auto()
    SYN_RECEIVED = auto()  # opened by the peer; waits in the backlog
    ACK_OWED = auto()  # accepted here; the next frame carries ACK
    ESTABLISHED = auto()


class Half(Enum):
    """One direction of a stream."""

    OPEN = auto()
    ENDING = auto()  # sending only: FIN follows the last queued byte
    ENDED = auto()


# By names of their own: Python 3.11 finds a member through its class anew each time, and a call asks for a hundred.
HELD, SYN_OWED, SYN_SENT, SYN_RECEIVED, ACK_OWED, ESTABLISHED = Handshake
OPEN, ENDING, ENDED = Half


class Stream:
    """The state of one stream; only its session writes it.

    Attributes:
        id: the stream id on the wire.
        owner: for the use of whoever drives the session.
        handshake, sending, receiving: see above.
        pending: chunks that are queued for sending, and `pending_size` their bytes.
        notify_at: `StreamDrained` is told once when `pending_size` has sunk to this; -1 asks for nothing.
        send_window: bytes that the peer lets us send now.
        receive_window: bytes that the peer may send now.
        window: what the receive window is filled up to.
        consumed: bytes that the reader has taken and the peer was not credited for.
        held: bytes of memory that the stream is counted for: what is kept of what came on it, and what itself takes.
        credited_at: the time of the last credit, for growing the window.
        queued: whether the stream stands in the session's round robin.
    """

    __slots__ = (
        "consumed",
        "credited_at",
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
        self.sending = OPEN
        self.receiving = OPEN
        self.pending: deque[bytes | memoryview] | None = None
        self.pending_size = 0
        self.notify_at = -1
        self.send_window = INITIAL_WINDOW
        self.receive_window = INITIAL_WINDOW
        self.window = INITIAL_WINDOW
        self.consumed = 0
        self.held = 0
        self.credited_at = now
        self.queued = False

    def queue(self, data: bytes) -> None:
        """Put bytes behind those that are queued for sending."""
        if self.pending is None:
            self.pending = deque()
        self.pending.append(data)
        self.pending_size += len(data)

    @property
    def ended(self) -> bool:
        """Whether both halves are over, so that the session has forgotten the stream."""
        return self.sending is ENDED and self.receiving is ENDED

    def __repr__(self) -> str:
        return (
            f"<Stream {self.id} {self.handshake.name} sending {self.sending.name}, receiving {self.receiving.name}, "
            f"{self.pending_size} bytes queued>"
        )
