"""When what a session has to send is written to its connection.

Whatever is sent within one turn of the loop is put out together, at the end of the callback that brought the bytes it
answers, or in the loop's next turn. Several messages that are complete do not wait for that: the peer works on them
while the next are made, where else each of the two would wait for the other. While the connection has enough to write
nothing is put out, so that little waits in it, and a small call passes a large one in the session's round robin instead
of queueing behind its megabytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .busypoll import BusyPoll
from .session import Session

__all__ = ["Output"]

COMPLETE: Final = 2
"""How many complete messages wait for no more. One would cost each message a system call of its own."""
BATCH: Final = 128 * 1024
HIGH_WATER: Final = 64 * 1024
OWED_DELAY: Final = 0.005


class Output:
    """Writes the output of one session to one connection.

    Args:
        loop: the loop to run in.
        session: whose output it is.
        transport: the connection.
        poll: keeps the loop awake for what the peer answers.
        written: is called after each time that something may have been written, for the events that it has brought.

    Attributes:
        blocked: whether the connection takes no more for now.
        coming: whether the output will be put out anyway, so that nobody needs to ask for it.
    """

    __slots__ = (
        "_closed",
        "_complete",
        "_expects",
        "_loop",
        "_owed_timer",
        "_poll",
        "_session",
        "_transport",
        "_written",
        "blocked",
        "coming",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        session: Session,
        transport: asyncio.WriteTransport,
        poll: BusyPoll,
        written: Callable[[], None],
    ) -> None:
        self.blocked = False
        self.coming = False
        self._loop = loop
        self._session = session
        self._transport = transport
        self._poll = poll
        self._written = written
        self._owed_timer: asyncio.TimerHandle | None = None
        self._complete = 0
        self._expects = False
        self._closed = False
        transport.set_write_buffer_limits(high=HIGH_WATER)

    def soon(self) -> None:
        """Put out at the end of this turn of the loop."""
        if not self.coming:
            self.coming = True
            self._loop.call_soon(self._run)

    def begun(self) -> None:
        """Put out behind the beginning of a stream: soon. The peer is expected to answer."""
        self._expects = True
        self.soon()

    def complete(self) -> None:
        """Put out behind the end of a message: soon, and at once if it is not the only one that waits.

        The peer is expected to go on with it.

        What that changes is told later, as whoever ends a message does not expect to be called back meanwhile.
        """
        self._expects = True
        self._complete += 1
        if self._complete >= COMPLETE and not self.blocked and not self._closed:
            self._complete = 0
            if chunks := self._session.data_to_send(BATCH):
                self._transport.write(b"".join(chunks))
        self.soon()

    def now(self) -> None:
        """Put out as long as the connection takes it; then tell what that has changed."""
        session = self._session
        self._complete = 0
        while not self.blocked and not self._closed:
            data = b"".join(session.data_to_send(BATCH))
            if data:
                self._transport.write(data)
            if len(data) < BATCH:
                break
        self._written()
        if self._expects:
            self._expects = False
            self._poll.expect()
        if self._owed_timer is None and session.owes and not self.blocked and not self._closed:
            self._owed_timer = self._loop.call_later(OWED_DELAY, self._pay)

    def close(self, *, flush: bool) -> None:
        """Put out nothing any more.

        Args:
            flush: first write all that the windows allow, whether the connection takes it now or later.
        """
        while flush and not self._closed and (chunks := self._session.data_to_send(BATCH)):
            self._transport.write(b"".join(chunks))
        self._closed = True
        self._poll.stop()
        if self._owed_timer is not None:
            self._owed_timer.cancel()

    def _run(self) -> None:
        self.coming = False
        self.now()

    def _pay(self) -> None:
        self._owed_timer = None
        self._session.flush_deferred()
        self.now()
