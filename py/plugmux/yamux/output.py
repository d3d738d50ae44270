"""When the frames of a session are written to its connection.

Everything that is sent within one turn of the loop is written together: at the end of the callback that brought the
bytes it replies to, or in the loop's next turn. Several complete messages do not wait that long, so that the peer works
on them while the next ones are made. While the connection's buffer is full nothing is written: little waits in the
connection, and a small call passes a large one in the session's round robin instead of queueing behind its megabytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ..aio.busypoll import BusyPoll
from .session import Session

__all__ = ["Output"]

MAX_WAITING_MESSAGES: Final = 2
"""Complete messages at which output is written at once. With 1, each message would cost a system call of its own."""
BATCH: Final = 128 * 1024
"""Bytes after which one write to the connection takes no further frame."""
CONNECTION_HIGH_WATER: Final = 64 * 1024
"""Bytes that may wait in the connection's own buffer."""
DEFER_TIME: Final = 0.005
"""Seconds after which deferred frames are sent although no other frame goes out."""


class Output:
    """Writes the output of one session to one connection.

    Args:
        loop: the loop to run in.
        session: whose output it is.
        transport: the connection.
        poll: keeps the loop awake until the peer replies.
        after_flush: is called after each flush, to dispatch the events that it has caused.

    Attributes:
        blocked: whether the connection takes no more for now.
        flush_scheduled: whether a flush will follow anyway, so that no one needs to ask for one.
    """

    __slots__ = (
        "_after_flush",
        "_closed",
        "_deferred_timer",
        "_expects_reply",
        "_loop",
        "_poll",
        "_session",
        "_transport",
        "_waiting_messages",
        "blocked",
        "flush_scheduled",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        session: Session,
        transport: asyncio.WriteTransport,
        poll: BusyPoll,
        after_flush: Callable[[], None],
    ) -> None:
        self.blocked = False
        self.flush_scheduled = False
        self._loop = loop
        self._session = session
        self._transport = transport
        self._poll = poll
        self._after_flush = after_flush
        self._deferred_timer: asyncio.TimerHandle | None = None
        self._waiting_messages = 0
        self._expects_reply = False
        self._closed = False
        transport.set_write_buffer_limits(high=CONNECTION_HIGH_WATER)

    def flush_soon(self) -> None:
        """Flush at the end of this turn of the loop."""
        if not self.flush_scheduled:
            self.flush_scheduled = True
            self._loop.call_soon(self._run)

    def request_started(self) -> None:
        """Flush soon, because a stream has been opened; the peer is expected to reply."""
        self._expects_reply = True
        self.flush_soon()

    def message_end(self) -> None:
        """Flush soon, because a message is complete; write at once if another complete message waits already.

        The peer is expected to reply. Events that this causes are dispatched later, since the caller does not expect to
        be called back meanwhile.
        """
        self._expects_reply = True
        self._waiting_messages += 1
        if self._waiting_messages >= MAX_WAITING_MESSAGES and not self.blocked and not self._closed:
            self._waiting_messages = 0
            if chunks := self._session.data_to_send(BATCH):
                self._transport.write(b"".join(chunks))
        self.flush_soon()

    def flush(self) -> None:
        """Write as long as the connection takes it; then dispatch the events that this has caused."""
        session = self._session
        self._waiting_messages = 0
        while not self.blocked and not self._closed:
            data = b"".join(session.data_to_send(BATCH))
            if data:
                self._transport.write(data)
            if len(data) < BATCH:
                break
        self._after_flush()
        if self._expects_reply:
            self._expects_reply = False
            self._poll.expect()
        if self._deferred_timer is None and session.deferred and not self.blocked and not self._closed:
            self._deferred_timer = self._loop.call_later(DEFER_TIME, self._flush_deferred)

    def close(self, *, flush: bool) -> None:
        """Write nothing from now on.

        Args:
            flush: first write all that the windows allow, whether the connection takes it now or later.
        """
        while flush and not self._closed and (chunks := self._session.data_to_send(BATCH)):
            self._transport.write(b"".join(chunks))
        self._closed = True
        self._poll.stop()
        if self._deferred_timer is not None:
            self._deferred_timer.cancel()

    def _run(self) -> None:
        self.flush_scheduled = False
        self.flush()

    def _flush_deferred(self) -> None:
        self._deferred_timer = None
        self._session.flush_deferred()
        self.flush()
