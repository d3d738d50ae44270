"""yamux: many streams on one connection.

`Session` is the protocol without I/O; `Mux` runs it on an asyncio transport, where each stream is a `StreamTransport`.
"""

from .config import Config
from .flow import LinkMemory, MemoryPool
from .frame import GoAwayCode
from .mux import Mux
from .session import Session
from .state import (
    DataReceived,
    GoAwayReceived,
    Half,
    Handshake,
    PongReceived,
    SessionEnded,
    SessionEvent,
    Stream,
    StreamAcknowledged,
    StreamDrained,
    StreamEnded,
    StreamFinished,
    StreamOpened,
    StreamWasReset,
)
from .stream import StreamTransport

__all__ = [
    "Config",
    "DataReceived",
    "SessionEvent",
    "GoAwayCode",
    "GoAwayReceived",
    "Half",
    "Handshake",
    "LinkMemory",
    "MemoryPool",
    "Mux",
    "PongReceived",
    "Session",
    "SessionEnded",
    "Stream",
    "StreamAcknowledged",
    "StreamDrained",
    "StreamEnded",
    "StreamFinished",
    "StreamOpened",
    "StreamTransport",
    "StreamWasReset",
]
