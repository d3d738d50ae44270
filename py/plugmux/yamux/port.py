"""What a stream's transport may ask of the session it is on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..aio.timeouts import TimeoutQueue
from ..errors import LinkError, LinkTimeout, StreamReset
from .config import Config
from .output import Output
from .session import Session
from .state import ENDED, Stream

if TYPE_CHECKING:
    from .mux import Mux

__all__ = ["Port"]


class Port:
    """The streams' side of a mux: each request goes to the session, and its output out in time.

    It also keeps the two time limits that a stream has: to be acknowledged, and to end once it is closed.

    Args:
        loop: the loop to run in.
        clock: the time of what the session is given.
        mux: the mux, for `get_extra_info`.
        config: the time limits.
        session: the session.
        output: its output.
    """

    __slots__ = ("_clock", "_closing", "_config", "_loop", "_opening", "_output", "_session", "mux")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        mux: Mux,
        config: Config,
        session: Session,
        output: Output,
    ) -> None:
        self._clock = clock
        self.mux = mux
        self._loop = loop
        self._config = config
        self._session = session
        self._output = output
        self._opening = TimeoutQueue(config.stream_open_timeout or None, self._open_expired, loop)
        self._closing = TimeoutQueue(config.stream_close_timeout or None, self._close_expired, loop)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call back in the loop's next turn."""
        self._loop.call_soon(callback, *args)

    def open(self) -> Stream:
        """Open a stream, which has its time to be acknowledged.

        Raises:
            SessionClosed: the session takes no new streams.
        """
        stream = self._session.open()
        self._opening.add(stream)
        self._output.begun()
        return stream

    def acknowledged(self, stream: Stream) -> None:
        """Note that the peer has acknowledged a stream."""
        self._opening.discard(stream)

    def send(self, stream: Stream, data: bytes) -> None:
        """Queue bytes on a stream."""
        self._session.send(stream, data)
        if stream.queued and not self._output.coming:
            self._output.soon()

    def end(self, stream: Stream) -> None:
        """End our half of a stream behind what is queued."""
        self._session.end(stream)
        self._output.complete()

    def close(self, stream: Stream, unread: int) -> None:
        """End our half of a stream that is read no more, with `unread` bytes left over."""
        self._session.end(stream)
        if stream.ended:
            self._output.soon()
        else:
            self._closing.add(stream)
            self.discard(stream, unread)
            self._output.complete()

    def reset(self, stream: Stream) -> None:
        """End a stream at once."""
        if not stream.ended:
            self._session.reset(stream)
            self.settle(stream)
            self._output.soon()

    def consume(self, stream: Stream, size: int) -> None:
        """Report what a protocol has read."""
        if self._output.coming:
            self._session.consume(stream, size)
        else:
            self._session.now = self._clock()
            self._session.consume(stream, size)
            self._output.soon()

    def hold(self, stream: Stream, change: int) -> LinkError | None:
        """Report that more or less is kept of what came on a stream; gives the reason where it has to be reset."""
        memory = self._session.memory
        if memory.hold(stream, change):
            return None
        return StreamReset(
            f"stream {stream.id} was reset here: the link holds {memory.held} bytes that nobody has taken; "
            f"max_link_memory allows {memory.limit}, and max_total_memory limits all links together"
        )

    def release(self, stream: Stream) -> None:
        """Report that nothing of what came on a stream is kept any more."""
        self._session.memory.release(stream)

    def give_withheld_credit(self) -> None:
        """Credit what had to wait for memory."""
        self._session.now = self._clock()
        self._session.relieve()
        self._output.soon()

    def discard(self, stream: Stream, size: int) -> None:
        """Drop bytes for a stream that was closed here.

        A few stragglers do no harm. A peer that goes on for half a window is writing in earnest what nobody will read:
        it is told so by a reset, once all that we have written is out.
        """
        if stream.sending is not ENDED:
            self._session.consume(stream, size)
        else:
            stream.consumed += size
            if stream.consumed * 2 >= stream.window:
                self.reset(stream)

    def settle(self, stream: Stream) -> None:
        """Stop the time limits of a stream, if it has ended."""
        if stream.ended:
            self._opening.discard(stream)
            self._closing.discard(stream)

    def stop(self) -> None:
        """Stop all time limits, for good."""
        self._opening.stop()
        self._closing.stop()

    def report(self, message: str, error: Exception, transport: asyncio.Transport) -> None:
        """Tell the loop's exception handler of a protocol's error."""
        self._loop.call_exception_handler(
            {"message": message, "exception": error, "transport": transport, "protocol": transport.get_protocol()}
        )

    def _open_expired(self, stream: Stream) -> None:
        timeout = self._config.stream_open_timeout
        self._expire(stream, f"the peer has not acknowledged stream {stream.id} within {timeout:g} s")

    def _close_expired(self, stream: Stream) -> None:
        timeout = self._config.stream_close_timeout
        self._expire(stream, f"stream {stream.id} has not ended within {timeout:g} s of being closed")

    def _expire(self, stream: Stream, message: str) -> None:
        transport = stream.owner
        self.reset(stream)
        if transport is not None:
            transport.cut(LinkTimeout(message))
