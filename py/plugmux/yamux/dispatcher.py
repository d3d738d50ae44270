"""What stands between a session and the transports of its streams.

Events of the session go to the stream that they are about; what a stream's transport asks for goes to the session. The
two timeouts of a stream run here: to be acknowledged, and to end once it is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from ..aio.timeouts import TimeoutQueue
from ..errors import LinkError, LinkTimeout, StreamReset
from .output import Output
from .session import Session
from .state import (
    ENDED,
    SYN_RECEIVED,
    DataReceived,
    GoAwayReceived,
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

__all__ = ["Dispatcher"]


class _Mux(Protocol):
    """What the dispatcher needs of its mux."""

    def get_extra_info(self, name: str, default: Any = None) -> Any: ...
    def handle_session_event(self, event: SessionEvent) -> None: ...


class Dispatcher:
    """Connects the streams of a mux to its session.

    Args:
        loop: the loop to run in.
        clock: the time that the session is given.
        mux: answers `get_extra_info` and takes the events that are about no stream.
        session: the session.
        output: writes what the session has to send.
    """

    __slots__ = ("_clock", "_closing", "_factory", "_loop", "_mux", "_opening", "_output", "_session", "_waiting")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        mux: _Mux,
        session: Session,
        output: Output,
    ) -> None:
        self._clock = clock
        self._mux = mux
        self._loop = loop
        self._session = session
        self._output = output
        self._factory: Callable[[], asyncio.BaseProtocol] | None = None
        self._waiting: dict[StreamTransport, None] = {}  # opened by the peer, not accepted yet
        config = session.config
        self._opening = TimeoutQueue(config.stream_open_timeout or None, self._open_expired, loop)
        self._closing = TimeoutQueue(config.stream_close_timeout or None, self._close_expired, loop)

    # What the mux asks for.

    def open(self, protocol: asyncio.BaseProtocol) -> StreamTransport:
        """Open a stream, start its open timeout, and run `protocol` on it.

        Raises:
            SessionClosed: the session takes no new streams.
        """
        stream = self._session.open()
        self._opening.add(stream)
        self._output.request_started()
        transport = StreamTransport(self, stream)
        try:
            transport.start(protocol)
        except BaseException:
            transport.abort()
            raise
        return transport

    def listen(self, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """Accept the streams of the peer, those that wait included, with a protocol from `factory`."""
        self._factory = factory
        waiting = list(self._waiting)
        self._waiting.clear()
        for transport in waiting:
            self._accept(transport, factory)

    def dispatch(self, events: list[SessionEvent]) -> None:
        """Give each event to the stream that it is about, or to the mux."""
        for event in events:
            if type(event) is DataReceived:
                owner = event.stream.owner
                if owner is not None:
                    owner.data_received(event.data)
                elif not event.stream.ended:
                    self.discard(event.stream, len(event.data))
            else:
                _HANDLERS[type(event)](self, event)

    def grant_withheld_credit(self) -> None:
        """Credit the streams that had to wait for memory."""
        self._session.now = self._clock()
        self._session.grant_withheld_credit()
        self._output.flush_soon()

    def stop(self) -> None:
        """Stop all timeouts, for good."""
        self._opening.stop()
        self._closing.stop()

    def terminate(self, error: LinkError) -> None:
        """Tell all streams that the session has ended."""
        self._waiting.clear()
        for stream in list(self._session.streams.values()):
            if stream.owner is not None:
                stream.owner.terminate(error)

    # What a stream's transport asks for (`stream.Port`).

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The mux by the name `mux`, and whatever its connection knows by another."""
        return self._mux if name == "mux" else self._mux.get_extra_info(name, default)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call back in the loop's next turn."""
        self._loop.call_soon(callback, *args)

    def send(self, stream: Stream, data: bytes) -> None:
        """Queue bytes on a stream."""
        self._session.send(stream, data)
        if stream.queued and not self._output.flush_scheduled:
            self._output.flush_soon()

    def end(self, stream: Stream) -> None:
        """End our half of a stream behind what is queued."""
        self._session.end(stream)
        self._output.message_end()

    def close(self, stream: Stream, unread: int) -> None:
        """End our half of a stream that was closed here, with `unread` bytes left over."""
        self._session.end(stream)
        if stream.ended:
            self._output.flush_soon()
        else:
            self._closing.add(stream)
            self.discard(stream, unread)
            self._output.message_end()

    def reset(self, stream: Stream) -> None:
        """End a stream at once."""
        if not stream.ended:
            self._session.reset(stream)
            self._stop_timeouts(stream)
            self._output.flush_soon()

    def consume(self, stream: Stream, size: int) -> None:
        """Report what a protocol has read."""
        if not self._output.flush_scheduled:
            self._session.now = self._clock()
            self._output.flush_soon()
        self._session.consume(stream, size)

    def hold(self, stream: Stream, change: int) -> LinkError | None:
        """Count bytes of a stream that are kept, or no longer kept; gives the reason where it has to be reset."""
        memory = self._session.memory
        if memory.hold(stream, change):
            return None
        return StreamReset(
            f"stream {stream.id} was reset here: the link holds {memory.held} bytes that no one has taken; "
            f"max_link_memory allows {memory.limit}, and max_total_memory limits all links together"
        )

    def release(self, stream: Stream) -> None:
        """Count nothing of a stream any longer."""
        self._session.memory.release(stream)

    def discard(self, stream: Stream, size: int) -> None:
        """Drop bytes for a stream that was closed here.

        A few bytes that were under way do no harm. A peer that goes on until credit is due writes what no one reads:
        the stream is reset once all that was written here is out.
        """
        if stream.sending is not ENDED:
            self._session.consume(stream, size)
        else:
            stream.consumed += size
            if stream.consumed >= stream.credit_step:
                self.reset(stream)

    def report(self, message: str, error: Exception, transport: asyncio.Transport) -> None:
        """Tell the loop's exception handler of a protocol's error."""
        self._loop.call_exception_handler(
            {"message": message, "exception": error, "transport": transport, "protocol": transport.get_protocol()}
        )

    # Events.

    def _on_opened(self, event: StreamOpened) -> None:
        transport = StreamTransport(self, event.stream)
        if self._factory is None:
            self._waiting[transport] = None
        else:
            self._accept(transport, self._factory)

    def _accept(self, transport: StreamTransport, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        stream = transport.stream
        if stream.handshake is SYN_RECEIVED:
            self._session.accept(stream)
        try:
            transport.start(factory())
        except Exception as error:
            self.report(f"no protocol could be made for stream {stream.id}", error, transport)
            transport.abort()
        self._output.flush_soon()

    def _on_acknowledged(self, event: StreamAcknowledged) -> None:
        self._opening.discard(event.stream)

    def _on_ended(self, event: StreamEnded) -> None:
        stream = event.stream
        if stream.owner is not None:
            stream.owner.eof_received()
        if stream.ended:
            self._stop_timeouts(stream)

    def _on_drained(self, event: StreamDrained) -> None:
        if event.stream.owner is not None:
            event.stream.owner.drained()

    def _on_finished(self, event: StreamFinished) -> None:
        stream = event.stream
        if stream.owner is not None:
            stream.owner.finished()
        if stream.ended:
            self._stop_timeouts(stream)

    def _on_reset(self, event: StreamWasReset) -> None:
        transport = event.stream.owner
        if transport is not None:
            self._waiting.pop(transport, None)
            transport.terminate(event.error)
        self._stop_timeouts(event.stream)

    def _on_session_event(self, event: SessionEvent) -> None:
        self._mux.handle_session_event(event)

    # Timeouts.

    def _stop_timeouts(self, stream: Stream) -> None:
        self._opening.discard(stream)
        self._closing.discard(stream)

    def _open_expired(self, stream: Stream) -> None:
        timeout = self._session.config.stream_open_timeout
        self._expire(stream, f"the peer has not acknowledged stream {stream.id} within {timeout:g} s")

    def _close_expired(self, stream: Stream) -> None:
        timeout = self._session.config.stream_close_timeout
        self._expire(stream, f"stream {stream.id} has not ended within {timeout:g} s of being closed")

    def _expire(self, stream: Stream, message: str) -> None:
        transport = stream.owner
        self.reset(stream)
        if transport is not None:
            transport.terminate(LinkTimeout(message))


_HANDLERS: Final[dict[type[SessionEvent], Callable[[Dispatcher, Any], None]]] = {
    StreamOpened: Dispatcher._on_opened,
    StreamAcknowledged: Dispatcher._on_acknowledged,
    StreamEnded: Dispatcher._on_ended,
    StreamDrained: Dispatcher._on_drained,
    StreamFinished: Dispatcher._on_finished,
    StreamWasReset: Dispatcher._on_reset,
    PongReceived: Dispatcher._on_session_event,
    GoAwayReceived: Dispatcher._on_session_event,
    SessionEnded: Dispatcher._on_session_event,
}
