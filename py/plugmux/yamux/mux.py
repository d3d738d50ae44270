"""A yamux session on an asyncio transport.

The `Mux` joins the sans-I/O session to the event loop, and owns all timers. Bytes travel without tasks or futures:
`buffer_updated` feeds the session and calls the protocols of the streams; what they write is collected, and written at
the end of the same callback, or at the end of the loop's turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from enum import Enum, auto
from typing import Any, Final, TypeVar, cast

from ..aio.busypoll import BusyPoll
from ..aio.transports import unread
from ..aio.waiters import Waiters
from ..errors import LinkError, LinkTimeout, SessionClosed
from .config import Config
from .dispatcher import Dispatcher
from .flow import LinkMemory, MemoryPool, keep_freed_memory
from .keepalive import Keepalive, is_local
from .output import Output
from .session import Session
from .state import GoAwayReceived, PongReceived, SessionEnded, SessionEvent, Stream
from .stream import StreamTransport

__all__ = ["Mux"]

MAX_FRAMES_PER_TURN: Final = 512
"""Frames that one turn of the loop takes from a link: a millisecond or two of work."""
MAX_CLOSE_TIME: Final = 10.0
"""Seconds that the last bytes are given at most to leave, whatever `connection_write_timeout` is."""

AnyProtocol = TypeVar("AnyProtocol", bound=asyncio.BaseProtocol)


class _MuxState(Enum):
    NEW = auto()  # no connection yet
    RUNNING = auto()
    ENDED = auto()  # streams and waiters have got the reason; the connection is closing
    CLOSED = auto()  # the connection is closed


_NEW, _RUNNING, _ENDED, _CLOSED = _MuxState  # module-level names, as in `state`


class Mux(asyncio.BufferedProtocol):
    """Many streams on one connection: the protocol to give to any asyncio transport.

    Call every method in the event loop of the transport.

    Args:
        client: whether this side opens odd stream ids; the two sides must differ.
        config: the settings of this side; the defaults are those of the wire.
        pool: what the mux shares with others of its event loop: a limit of memory, and the read buffer.
        registered: whether the peer has registered, or need not; one that has not gets little memory and few streams.
        clock: the time in seconds, to the microsecond; the time of uvloop's event loop has steps of 1 ms.
    """

    def __init__(
        self,
        *,
        client: bool,
        config: Config | None = None,
        pool: MemoryPool | None = None,
        registered: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        self.config = config = config or Config()
        self._pool = pool or MemoryPool(config.max_total_memory)
        memory = LinkMemory(self._pool, config.max_link_memory)
        self._session = Session(client=client, config=config, now=clock(), memory=memory)
        if not registered:
            self._session.set_limits(
                min(config.max_unregistered_memory, config.max_link_memory),
                min(config.max_unregistered_streams, config.max_streams),
            )
        self._state = _NEW
        self._reason: BaseException | None = None
        self._factory: Callable[[], asyncio.BaseProtocol] | None = None
        keep_freed_memory()
        self._postponed = bytearray()
        self._abort_timer: asyncio.TimerHandle | None = None
        self._pings: dict[int, asyncio.Future[float]] = {}
        self._openers = Waiters()
        self._idle = Waiters()
        self._closers = Waiters()

    # Streams.

    def open(self, protocol: asyncio.BaseProtocol) -> StreamTransport:
        """Open a stream and run `protocol` on it; never waits.

        What is written in the same turn of the loop goes out in one frame with the SYN. While the peer has not
        acknowledged as many streams as its backlog takes, what is written is held back.

        Raises:
            SessionClosed: the session has not begun, has ended, or takes no new streams.
        """
        self._check_running()
        return self._dispatcher.open(protocol)

    async def create_connection(self, factory: Callable[[], AnyProtocol]) -> tuple[StreamTransport, AnyProtocol]:
        """Open a stream as soon as the peer's backlog has a place for it; the signature is the event loop's own.

        Args:
            factory: makes the protocol.

        Raises:
            SessionClosed: the session takes no new streams, or ended while this waited.

        Cancelling gives up the place in the queue.
        """
        while self._state is _RUNNING and not self._session.remote_go_away and self._session.backlog_full:
            await self._openers.wait()
        self._check_running()
        protocol = factory()
        return self.open(protocol), protocol

    def listen(self, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """Accept the streams of the peer, those that it has opened already included, with a protocol from `factory`."""
        self._factory = factory
        self._session.accepting = True
        if self._state is _RUNNING:
            self._dispatcher.listen(factory)

    @property
    def streams(self) -> Collection[Stream]:
        """The streams that have not ended in both directions, in the order in which they were opened."""
        return self._session.streams.values()

    # The session.

    def mark_registered(self) -> None:
        """Lift the limits of a peer that has not registered."""
        self._session.set_limits(self.config.max_link_memory, self.config.max_streams)

    @property
    def held(self) -> int:
        """Bytes that count against `Config.max_link_memory` now."""
        return self._session.memory.held

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._state in (_ENDED, _CLOSED)

    @property
    def reason(self) -> BaseException | None:
        """Why the session has ended; `None` while it has not, or if it was closed normally."""
        return self._reason

    @property
    def peer_left(self) -> bool:
        """Whether the peer has said that it takes no new streams, as it does before it closes in order."""
        return self._session.remote_go_away

    @property
    def last_received(self) -> float:
        """The loop's time at which the peer last sent anything."""
        return self._keepalive.last_received

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The connection's own `get_extra_info`."""
        return self._transport.get_extra_info(name, default) if hasattr(self, "_transport") else default

    async def ping(self) -> float:
        """Measure the round trip to the peer, in seconds.

        Raises:
            LinkTimeout: the peer did not answer within the connection write timeout.
            SessionClosed: the session has ended.
        """
        self._check_running()
        self._session.now = self._clock()
        ping_id = self._session.ping()
        self._output.flush_soon()
        waiter = self._pings[ping_id] = self._loop.create_future()
        timeout = self.config.connection_write_timeout
        try:
            async with asyncio.timeout(timeout) as limit:
                rtt: float = await waiter
                return rtt
        except TimeoutError:
            if not limit.expired():
                raise
            raise LinkTimeout(f"the peer has not answered a ping within {timeout:g} s") from None
        finally:
            self._pings.pop(ping_id, None)
            self._session.forget_ping(ping_id)

    def go_away(self) -> None:
        """Refuse new streams from now on, and tell the peer; open streams go on."""
        self._check_running()
        self._session.go_away()
        self._output.flush_soon()

    async def wait_idle(self) -> None:
        """Wait until no stream is open, or the session has ended."""
        while self._state is _RUNNING and self._session.streams:
            await self._idle.wait()

    async def close(self) -> None:
        """Send go-away, write what is queued as far as windows allow, and close the connection.

        Open streams get `SessionClosed`. Closing goes on when the wait for it is cancelled.
        """
        why = "before it had a connection" if self._state is _NEW else "here"
        if self._state is _RUNNING:
            self._session.go_away()
            self._finish_output()
        self._end(None, SessionClosed(f"the session was closed {why}"))
        await self.wait_closed()

    def abort(self, reason: BaseException | None = None) -> None:
        """End the session at once; every stream and every waiter gets `reason`."""
        if self._state is _RUNNING or self._state is _NEW:
            error = reason = reason or SessionClosed("the session was aborted here")
            if not isinstance(error, LinkError):
                error = SessionClosed(f"the session was aborted here: {reason}")
                error.__cause__ = reason
            self._end(reason, error)
            if self._state is _ENDED:
                self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the session has ended and its connection is closed. Cancelling this changes nothing else."""
        if self._state is not _CLOSED:
            await self._closers.wait()

    # What the connection calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the session on a connection; one that comes when the session has ended is closed."""
        self._loop = asyncio.get_running_loop()
        self._transport = cast("asyncio.Transport", transport)
        if self._state is not _NEW:
            self._transport.abort()
            return
        self._poll = BusyPoll(self._loop, self.config.busy_poll, self._clock)
        self._output = Output(self._loop, self._session, self._transport, self._poll, self._after_flush)
        self._keepalive = Keepalive(self._loop, self.config, self._send_ping, self.abort, local=is_local(transport))
        self._dispatcher = Dispatcher(self._loop, self._clock, self, self._session, self._output)
        if self._factory is not None:
            self._dispatcher.listen(self._factory)
        self._session.memory.on_room = self._dispatcher.grant_withheld_credit
        self._session.memory.join()
        self._buffer = self._pool.read_buffer
        self._session.now = self._clock()
        self._state = _RUNNING

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the buffer that the connection reads into; the muxes of a pool share it."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what the connection has read."""
        self.feed(self._buffer[:nbytes])

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes of the connection that were read elsewhere, such as behind an HTTP upgrade."""
        if self._state is not _RUNNING or not data:
            return
        if self._postponed:
            self._postponed += data
            return
        now = self._clock()
        self._keepalive.last_received = self._loop.time()
        self._poll.received(now)
        session, output = self._session, self._output
        flush_scheduled, output.flush_scheduled = output.flush_scheduled, True
        try:
            events = session.receive_data(data, now, MAX_FRAMES_PER_TURN)
            if session.taken < len(data):
                self._postpone(data[session.taken :])
            self._dispatcher.dispatch(events)
        finally:
            output.flush_scheduled = flush_scheduled
        if session.has_output:
            output.flush()
        elif events:
            output.flush_soon()  # after the tasks that were woken, so that their replies go out in the same turn

    def _postpone(self, data: bytes | memoryview) -> None:
        """Keep the rest for the loop's next turn, so that many small frames do not keep others waiting."""
        self._postponed += data
        self._transport.pause_reading()
        self._loop.call_soon(self._take_postponed)

    def _take_postponed(self) -> None:
        data, self._postponed = self._postponed, bytearray()
        if data:
            self.feed(memoryview(data))
            if not self._postponed and self._state is _RUNNING:
                self._transport.resume_reading()

    def eof_received(self) -> None:
        """End the session, since the peer has closed the connection."""
        if self._state is _RUNNING:
            orderly = not self._session.streams
            self._session.receive_eof()
            error = self._session.error
            assert error is not None
            self._end(None if orderly and isinstance(error, SessionClosed) else error, error)

    def pause_writing(self) -> None:
        """Stop writing: the connection's buffer is full."""
        self._output.blocked = True
        self._keepalive.blocked(self._transport.get_write_buffer_size)

    def resume_writing(self) -> None:
        """Go on writing."""
        self._output.blocked = False
        self._keepalive.unblocked()
        self._output.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session, unless it has ended, after taking what the lost connection still holds."""
        while self._postponed:
            self._take_postponed()
        if exc is not None and self._state is _RUNNING:
            self._output.close(flush=False)
            for data in unread(self._transport):
                if data:
                    self.feed(data)
                else:
                    self.eof_received()
        error = SessionClosed(f"the connection was lost: {exc}" if exc else "the connection was closed")
        error.__cause__ = exc
        self._end(error, error)
        self._state = _CLOSED
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._closers.wake()

    def handle_session_event(self, event: SessionEvent) -> None:
        """Act on an event that is about no stream (called by the dispatcher)."""
        if isinstance(event, PongReceived):
            waiter = self._pings.pop(event.ping_id, None)
            if waiter is not None and not waiter.done():
                waiter.set_result(event.rtt)
        elif isinstance(event, GoAwayReceived):
            self._openers.wake()
        elif isinstance(event, SessionEnded):
            self._finish_output()
            self._end(event.error, event.error)

    def _after_flush(self) -> None:
        if events := self._session.take_events():
            self._dispatcher.dispatch(events)
        if self._idle.queue and not self._session.streams:
            self._idle.wake()
        if self._openers.queue and not self._session.backlog_full:
            self._openers.wake(self._session.free_places)

    def _send_ping(self) -> None:
        self._session.ping()
        self._output.flush_soon()

    # The end.

    def _check_running(self) -> None:
        if self._state is not _RUNNING:
            error = self._session.error
            why = "has no connection yet" if error is None else f"has ended: {error}"
            raise SessionClosed(f"the session {why}") from error

    def _finish_output(self) -> None:
        self._output.close(flush=True)
        self._dispatcher.dispatch(self._session.take_events())

    def _end(self, reason: BaseException | None, error: LinkError) -> None:
        """Tell all streams and waiters that the session has ended, and close the connection behind the last bytes."""
        if self._state is _NEW:
            self._session.end_session(error)
            self._state, self._reason = _CLOSED, reason
            self._closers.wake()
        if self._state is not _RUNNING:
            return
        self._session.end_session(error)
        self._state, self._reason = _ENDED, reason
        self._keepalive.stop()
        self._dispatcher.stop()
        self._output.close(flush=False)
        self._transport.close()
        close_time = min(self.config.connection_write_timeout, MAX_CLOSE_TIME)
        self._abort_timer = self._loop.call_later(close_time, self._transport.abort)
        for waiter in self._pings.values():
            if not waiter.done():
                closed = SessionClosed(str(error))
                closed.__cause__ = error
                waiter.set_exception(closed)
        self._openers.wake()
        self._idle.wake()
        self._dispatcher.terminate(error)
        self._session.streams.clear()
        self._session.memory.close()
