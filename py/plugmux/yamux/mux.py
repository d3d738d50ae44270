"""A yamux session on an asyncio transport.

The `Mux` joins the sans-I/O session to the event loop, and owns all that is time. Bytes travel without tasks or
futures: `buffer_updated` feeds the session and calls the protocols of the streams; what they write is collected, and
put out at the end of the same callback, or at the end of the loop's turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final, TypeVar, cast

from ..errors import LinkError, LinkTimeout, SessionClosed
from .budget import LinkMemory, MemoryPool
from .busypoll import BusyPoll
from .config import Config
from .events import (
    DataReceived,
    Event,
    GoAwayReceived,
    PongReceived,
    SessionEnded,
    StreamAcknowledged,
    StreamDrained,
    StreamEnded,
    StreamFinished,
    StreamOpened,
    StreamWasReset,
)
from .liveness import Liveness, is_local
from .memory import keep_freed_memory
from .output import Output
from .port import Port
from .session import Session
from .stream import StreamTransport
from .unread import unread
from .waiters import Waiters, fail

__all__ = ["Mux"]

TURN: Final = 512
"""Frames that one turn of the loop takes from a link: a millisecond or two of work."""
MAX_END: Final = 10.0
"""Seconds that the last bytes are given at most to leave, however patient the session has been with its peer."""

AnyProtocol = TypeVar("AnyProtocol", bound=asyncio.BaseProtocol)


class _State(Enum):
    NEW = auto()  # no connection yet
    RUNNING = auto()
    ENDED = auto()  # streams and waiters have been told; the connection is closing
    CLOSED = auto()  # the connection is closed


_NEW, _RUNNING, _ENDED, _CLOSED = _State  # by names of their own, as in `state`


class Mux(asyncio.BufferedProtocol):
    """Many streams on one connection: the protocol to give to any asyncio transport.

    All methods are to be called in the event loop of the transport.

    Args:
        client: whether this side opens odd stream ids; the two sides must differ.
        config: the settings of this side; the defaults are those of the wire.
        pool: what the mux shares with others of its event loop: a limit of memory, and the buffer that is read into.
        registered: whether the peer has registered, or need not. Where it has not, it gets little memory and few
            streams, until `mark_registered`.
        clock: the time in seconds, to the microsecond, by which round trips are measured: the time of the event loop
            has steps of 1 ms under uvloop.
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
        self._backlog: dict[StreamTransport, None] = {}
        keep_freed_memory()
        self._postponed = bytearray()
        self._finish: asyncio.TimerHandle | None = None
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
        self._check_connected()
        transport = StreamTransport(self._port, self._port.open())
        try:
            transport.start(protocol)
        except BaseException:
            transport.abort()
            raise
        return transport

    async def create_connection(self, factory: Callable[[], AnyProtocol]) -> tuple[StreamTransport, AnyProtocol]:
        """Open a stream as soon as the peer's backlog has a place for it, shaped as the event loop's own method.

        Args:
            factory: makes the protocol.

        Raises:
            SessionClosed: the session takes no new streams, or ended while this waited.

        Cancelling gives up the place in the queue.
        """
        while self._state is _RUNNING and not self._session.remote_go_away and self._session.backlog_full:
            await self._openers.wait()
        protocol = factory()
        return self.open(protocol), protocol

    def listen(self, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """Accept the streams that the peer opens, and those it has opened already, with a protocol from `factory`."""
        self._factory = factory
        self._session.accepting = True
        waiting = list(self._backlog)
        self._backlog.clear()
        for transport in waiting:
            self._accept(transport)

    @property
    def stream_count(self) -> int:
        """The number of streams that have not ended in both directions."""
        return len(self._session.streams)

    # The session.

    def mark_registered(self) -> None:
        """Let the peer have what a registered one may have."""
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
        """Why the session has ended; `None` while it has not, or when it ended in order."""
        return self._reason

    @property
    def last_received(self) -> float:
        """The loop's time at which the peer last sent anything."""
        return self._liveness.last_received

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the connection knows by that name."""
        return default if self._state is _NEW else self._transport.get_extra_info(name, default)

    async def ping(self) -> float:
        """Measure the round trip to the peer, in seconds.

        Raises:
            LinkTimeout: the peer did not answer within the connection write timeout.
            SessionClosed: the session has ended.

        Cancelling it takes no more notice of the answer.
        """
        self._check_connected()
        self._session.now = self._clock()
        ping_id = self._session.ping()
        self._output.soon()
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
        self._check_connected()
        self._session.go_away()
        self._output.soon()

    async def wait_idle(self) -> None:
        """Wait until no stream is open; returns too when the session ends."""
        while self._state is _RUNNING and self._session.streams:
            await self._idle.wait()

    async def close(self) -> None:
        """Say go-away, put out what is queued as far as windows allow, and close the connection.

        Streams that are open are told `SessionClosed`. Closing goes on when the wait for it is cancelled.
        """
        if self._state is _NEW:
            self._state = _CLOSED
        if self._state is _RUNNING:
            self._session.go_away()
            self._finish_output()
            self._end(None, SessionClosed("the session was closed here"))
        await self.wait_closed()

    def abort(self, reason: BaseException | None = None) -> None:
        """End the session at once; every stream and every waiter is told `reason`."""
        if self._state is _RUNNING:
            error = reason = reason or SessionClosed("the session was aborted here")
            if not isinstance(error, LinkError):
                error = SessionClosed(f"the session was aborted here: {reason}")
                error.__cause__ = reason
            self._end(reason, error)
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the session has ended and its connection is closed. It may be cancelled at will."""
        if self._state is not _CLOSED:
            await self._closers.wait()

    # What the connection tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the session on a connection."""
        self._loop = asyncio.get_running_loop()
        self._transport = cast("asyncio.Transport", transport)
        self._poll = BusyPoll(self._loop, self.config.busy_poll, self._clock)
        self._output = Output(self._loop, self._session, self._transport, self._poll, self._written)
        self._liveness = Liveness(
            self._loop, self.config, self._keep_alive, self.abort, local=is_local(self._transport)
        )
        self._port = Port(self._loop, self._clock, self, self.config, self._session, self._output)
        self._session.memory.on_room = self._port.give_withheld_credit
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
        """Take bytes that came from the connection by another way, such as behind an HTTP upgrade."""
        if self._state is not _RUNNING or not data:
            return
        if self._postponed:
            self._postponed += data
            return
        now = self._clock()
        self._liveness.last_received = self._loop.time()
        self._poll.heard(now)
        output = self._output
        coming, output.coming = output.coming, True
        try:
            events = self._session.receive_data(data, now, TURN)
            if self._session.taken < len(data):
                self._postpone(data[self._session.taken :])
            self._dispatch(events)
        finally:
            output.coming = coming
        if self._session.has_output:
            output.now()
        elif events:
            output.soon()  # behind the tasks that were woken: what they answer goes out in their turn of the loop

    def _postpone(self, data: bytes | memoryview) -> None:
        """Take the rest in the loop's next turn, so that many small frames do not keep others waiting."""
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
        """Put out no more: the connection has enough to write."""
        self._output.blocked = True
        self._liveness.blocked(self._transport.get_write_buffer_size)

    def resume_writing(self) -> None:
        """Go on putting out."""
        self._output.blocked = False
        self._liveness.unblocked()
        self._output.now()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session, if it has not ended, since the connection is gone; what had come on it is taken first."""
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
        if self._finish is not None:
            self._finish.cancel()
        self._closers.wake()

    # Events.

    def _dispatch(self, events: list[Event]) -> None:
        for event in events:
            if type(event) is DataReceived:
                owner = event.stream.owner
                if owner is not None:
                    owner.data_received(event.data)
                elif not event.stream.ended:
                    self._port.discard(event.stream, len(event.data))
            else:
                _HANDLERS[type(event)](self, event)

    def _on_opened(self, event: StreamOpened) -> None:
        transport = StreamTransport(self._port, event.stream)
        if self._factory is None:
            self._backlog[transport] = None
        else:
            self._accept(transport)

    def _accept(self, transport: StreamTransport) -> None:
        assert self._factory is not None
        stream = transport.stream
        self._session.accept(stream)
        try:
            transport.start(self._factory())
        except Exception as error:
            self._port.report(f"no protocol could be made for stream {stream.id}", error, transport)
            transport.abort()
        self._output.soon()

    def _on_acknowledged(self, event: StreamAcknowledged) -> None:
        self._port.acknowledged(event.stream)

    def _on_stream_ended(self, event: StreamEnded) -> None:
        stream = event.stream
        if stream.owner is not None:
            stream.owner.eof_received()
        self._port.settle(stream)

    def _on_drained(self, event: StreamDrained) -> None:
        if event.stream.owner is not None:
            event.stream.owner.drained()

    def _on_finished(self, event: StreamFinished) -> None:
        stream = event.stream
        if stream.owner is not None:
            stream.owner.finished()
        self._port.settle(stream)

    def _on_reset(self, event: StreamWasReset) -> None:
        transport = event.stream.owner
        if transport is not None:
            self._backlog.pop(transport, None)
            transport.cut(event.error)
        self._port.settle(event.stream)

    def _on_pong(self, event: PongReceived) -> None:
        waiter = self._pings.pop(event.ping_id, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(event.rtt)

    def _on_go_away(self, event: GoAwayReceived) -> None:
        self._openers.wake()

    def _on_session_ended(self, event: SessionEnded) -> None:
        self._finish_output()
        self._end(event.error, event.error)

    def _written(self) -> None:
        events = self._session.take_events()
        if events:
            self._dispatch(events)
        if self._idle.queue and not self._session.streams:
            self._idle.wake()
        if self._openers.queue and not self._session.backlog_full:
            self._openers.wake(self._session.free_places)

    def _keep_alive(self) -> None:
        self._session.ping()
        self._output.soon()

    # The end.

    def _check_connected(self) -> None:
        if self._state is _NEW:
            raise SessionClosed("the session has no connection yet")

    def _finish_output(self) -> None:
        self._output.close(flush=True)
        self._dispatch(self._session.take_events())

    def _end(self, reason: BaseException | None, error: LinkError) -> None:
        """Tell all streams and waiters that the session is over, and close the connection behind the last bytes."""
        if self._state is not _RUNNING:
            return
        self._session.end_session(error)
        self._state = _ENDED
        self._reason = reason
        self._liveness.stop()
        self._port.stop()
        self._output.close(flush=False)
        self._transport.close()
        patience = min(self.config.connection_write_timeout, MAX_END)
        self._finish = self._loop.call_later(patience, self._transport.abort)
        for waiter in self._pings.values():
            fail(waiter, error)
        self._openers.fail(error)
        self._idle.wake()
        self._backlog.clear()
        for stream in list(self._session.streams.values()):
            if stream.owner is not None:
                stream.owner.cut(error)
        self._session.streams.clear()
        self._session.memory.close()


_HANDLERS: Final[dict[type[Event], Callable[[Mux, Any], None]]] = {
    StreamOpened: Mux._on_opened,
    StreamAcknowledged: Mux._on_acknowledged,
    StreamEnded: Mux._on_stream_ended,
    StreamDrained: Mux._on_drained,
    StreamFinished: Mux._on_finished,
    StreamWasReset: Mux._on_reset,
    PongReceived: Mux._on_pong,
    GoAwayReceived: Mux._on_go_away,
    SessionEnded: Mux._on_session_ended,
}
