"""A stream of a session, as an asyncio transport.

It keeps asyncio's contract for transports, so that whatever is written for asyncio runs on it: protocols, stream
readers and writers, a TLS layer. What differs from a socket is only where bytes go: writes are queued on the session,
and what the protocol does not want to read yet is held here, within the stream's receive window, without credit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol, cast

from ..aio.transports import feed
from ..errors import LinkError
from .state import ENDED, OPEN, Stream

__all__ = ["StreamTransport"]

STREAM_HIGH_WATER = 256 * 1024
"""Bytes that a protocol may write to a stream before it is told to pause; a quarter of it lets it resume."""


class Port(Protocol):
    """What a stream's transport asks of the session it is on (`dispatcher.Dispatcher`)."""

    def get_extra_info(self, name: str, default: Any = None) -> Any: ...
    def call_soon(self, callback: Callable[..., object], *args: Any) -> None: ...
    def send(self, stream: Stream, data: bytes) -> None: ...
    def end(self, stream: Stream) -> None: ...
    def close(self, stream: Stream, unread: int) -> None: ...
    def reset(self, stream: Stream) -> None: ...
    def consume(self, stream: Stream, size: int) -> None: ...
    def hold(self, stream: Stream, change: int) -> LinkError | None: ...
    def release(self, stream: Stream) -> None: ...
    def discard(self, stream: Stream, size: int) -> None: ...
    def report(self, message: str, error: Exception, transport: asyncio.Transport) -> None: ...


class _StreamState(Enum):
    WAITING = auto()  # not accepted yet, without a protocol
    OPEN = auto()
    CLOSING = auto()  # closed here; what was written is still going out
    LOST = auto()  # `connection_lost` has been called


_WAITING, _OPEN, _CLOSING, _LOST = _StreamState  # module-level names, as in `state`


class StreamTransport(asyncio.Transport):
    """One stream of a `Mux`; made by `Mux.open`, `Mux.create_connection` and for accepted streams.

    `write` never waits: bytes beyond the window are queued, and `pause_writing` is called on the protocol when more
    than the high-water mark are. `write_eof` sends FIN behind the last byte. `close` does the same and lets go of the
    protocol (`connection_lost(None)`) as soon as all is sent. After that, the stream is reset when the peer goes on
    writing, or does not end its half within the stream close timeout. `abort` resets the stream at once.

    `connection_lost` is called once: with `None` after a close or an abort here, else with what went wrong
    (`StreamReset`, `SessionClosed`, `LinkTimeout`). Bytes that had come before are delivered first, then the end of the
    stream, if it had come too.

    asyncio's `loop.start_tls` takes it; uvloop's takes no transports but its own.
    """

    # What asyncio asks of a transport that it lays TLS on, besides the methods of `asyncio.Transport`.
    _start_tls_compatible = True

    # One instance for each open stream: small matters. `_extra` of the base class stays unset.
    __slots__ = (
        "_held_by_protocol",
        "_high",
        "_low",
        "_port",
        "_protocol",
        "_reading",
        "_receive",
        "_state",
        "_unread",
        "_writing_paused",
        "_wrote_eof",
        "stream",
    )

    def __init__(self, port: Port, stream: Stream) -> None:
        self._port = port
        self.stream = stream
        self._state = _WAITING
        self._protocol: asyncio.BaseProtocol | None = None
        self._receive: Callable[[bytes], None] | None = None
        self._reading = True
        # What the protocol does not read yet, in order; `None` in it is the end of the stream.
        self._unread: deque[bytearray | None] | None = None
        self._held_by_protocol = 0  # what the protocol keeps of what it was given
        self._high = STREAM_HIGH_WATER
        self._low = STREAM_HIGH_WATER // 4
        self._writing_paused = False  # whether the protocol was told to pause writing
        self._wrote_eof = False
        stream.owner = self

    def __repr__(self) -> str:
        return f"<StreamTransport {self._state.name.lower()} {self.stream!r}>"

    # What a transport offers.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`stream_id`, `mux`, or whatever the connection under the session knows by that name.

        There is no `sslcontext`, by which asyncio's streams know a connection of TLS: such a one ends with either half.
        """
        if name == "stream_id":
            return self.stream.id
        if name == "sslcontext":
            return default
        return self._port.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that runs on the stream."""
        return cast("asyncio.BaseProtocol", self._protocol)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Run another protocol from now on; its `connection_made` is not called."""
        self._protocol = protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            self._receive = partial(feed, protocol)
        else:
            self._receive = getattr(protocol, "data_received", _drop)

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._state in (_CLOSING, _LOST)

    def is_reading(self) -> bool:
        """Whether the protocol wants bytes."""
        return self._reading and self._state is _OPEN

    def pause_reading(self) -> None:
        """Hold the bytes that come, and give the peer no credit for them."""
        self._reading = False

    def resume_reading(self) -> None:
        """Deliver what was held, soon, and go on."""
        if self._reading:
            return
        self._reading = True
        if self._unread:
            self._port.call_soon(self._deliver)
        elif self._state is _OPEN:
            self._port.consume(self.stream, 0)

    def hold(self, size: int) -> None:
        """Report how much a protocol keeps of what it was given, such as a body that is not complete.

        It counts against `Config.max_link_memory`. Past that, the stream is reset, and `connection_lost` follows.

        Args:
            size: bytes that are kept now; this replaces the number that was reported before.
        """
        if self._state is not _LOST and size != self._held_by_protocol:
            change, self._held_by_protocol = size - self._held_by_protocol, size
            self._change_held(change)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue bytes; what is written after `close` or a reset is dropped.

        Raises:
            RuntimeError: `write_eof` was called.
        """
        if not isinstance(data, bytes):
            data = bytes(data)
        if self._state is not _OPEN or not data:
            return
        stream = self.stream
        if stream.sending is not OPEN:
            if self._wrote_eof:
                raise RuntimeError(f"cannot write on stream {stream.id} after write_eof()")
            return  # it was reset, or its session has ended; `connection_lost` follows what came before
        self._port.send(stream, data)
        if stream.pending_size > self._high and not self._writing_paused:
            self._pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Queue bytes in several pieces, none of which is copied."""
        for data in list_of_data:
            self.write(data)

    def can_write_eof(self) -> bool:
        """Streams can be half-closed."""
        return True

    def write_eof(self) -> None:
        """End this half of the stream: FIN follows the last byte that was written."""
        if self._state is _OPEN:
            self._wrote_eof = True
            self._port.end(self.stream)

    def close(self) -> None:
        """Send what was written, then FIN, and read no more."""
        if self._state is _OPEN:
            self._state = _CLOSING
            unread = self._drop_unread()
            if self.stream.sending is ENDED:
                self._port.call_soon(self._tell_lost, None)
            self._port.close(self.stream, unread)

    def abort(self) -> None:
        """Reset the stream at once; what was written and has not been sent is dropped."""
        self._reset_stream(None)

    def _force_close(self, error: Exception | None) -> None:
        """Abort, and tell the protocol why: asyncio's TLS calls this when a handshake or a record is wrong."""
        self._reset_stream(error)

    def get_write_buffer_size(self) -> int:
        """Bytes that were written and have not been sent."""
        return self.stream.pending_size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The low and the high-water mark, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when the protocol is told to pause and to resume writing, in bytes.

        Args:
            high: pause above it; by default four times `low`, or 256 KiB.
            low: resume at it; by default a quarter of `high`.

        Raises:
            ValueError: not `high >= low >= 0`.
        """
        if high is None:
            high = STREAM_HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be at least low ({low}), and low at least 0")
        self._high, self._low = high, low
        if self._state is _OPEN and not self._writing_paused and self.stream.pending_size > high:
            self._pause_writing()

    # What the dispatcher calls. An error of a protocol ends its own stream, and nothing else.

    def start(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the stream its protocol, call `connection_made`, and deliver what has come meanwhile."""
        self._state = _OPEN
        self.set_protocol(protocol)
        protocol.connection_made(self)
        if self._unread and self._reading:
            self._deliver()

    def data_received(self, data: bytes) -> None:
        """Deliver bytes, or hold them."""
        if self._reading and self._unread is None and self._state is _OPEN:
            try:
                self._receive(data)  # type: ignore[misc]  # set since `set_protocol`
            except Exception as error:
                self._fail("data_received", error)
            if self._reading:
                self._port.consume(self.stream, len(data))
            else:
                self._consumed(len(data))
        elif self.is_closing():
            self._port.discard(self.stream, len(data))
        else:
            self._buffer(data)

    def eof_received(self) -> None:
        """Deliver the end of the stream, after the bytes that are held."""
        if not self.is_closing():
            self._buffer(None)
            self._deliver()

    def drained(self) -> None:
        """Let the protocol write again."""
        if self._writing_paused and self._state is not _LOST:
            self._writing_paused = False
            try:
                self._protocol.resume_writing()  # type: ignore[union-attr]  # set since `set_protocol`
            except Exception as error:
                self._fail("resume_writing", error)

    def finished(self) -> None:
        """Let go of the protocol, if it has closed the stream and all is sent."""
        if self._state is _CLOSING:
            self._tell_lost(None)

    def terminate(self, error: LinkError) -> None:
        """Deliver all that is held, even if reading is paused, and tell the protocol why the stream has ended."""
        self._reading = True
        self._deliver()
        self._tell_lost(error)

    def _tell_lost(self, error: Exception | None) -> None:
        """Call `connection_lost`, once."""
        if self._state is _LOST:
            return
        self._state = _LOST
        self._unread = None
        if self.stream.held:
            self._port.release(self.stream)
        protocol, self._protocol, self._receive = self._protocol, None, None
        self.stream.owner = None
        if protocol is not None:
            try:
                protocol.connection_lost(error)
            except Exception as failure:
                self._fail("connection_lost", failure)

    # Inside.

    def _buffer(self, data: bytes | None) -> None:
        if self._unread is None:
            self._unread = deque()
        last = self._unread[-1] if self._unread else None
        if data is None:
            self._unread.append(None)
        elif last is None:
            self._unread.append(bytearray(data))
        else:
            last += data  # in one piece: a window of tiny frames must not take more than a window of memory
        if data is not None:
            self._change_held(len(data))

    def _change_held(self, change: int) -> None:
        error = self._port.hold(self.stream, change)
        if error is not None:
            self._reset_stream(error)

    def _drop_unread(self) -> int:
        """Drop what is held, and give its size."""
        unread = sum(len(data) for data in self._unread if data) if self._unread else 0
        self._unread = None
        if unread:
            self._port.hold(self.stream, -unread)
        return unread

    def _deliver(self) -> None:
        while self._unread and self._reading and self._state is _OPEN:
            item = self._unread.popleft()
            if item is None:
                self._tell_eof()
                continue
            try:
                self._receive(bytes(item))  # type: ignore[misc]  # set since `set_protocol`
            except Exception as error:
                self._fail("data_received", error)
            if self._state is not _LOST:
                self._port.hold(self.stream, -len(item))
            self._consumed(len(item))
        if not self._unread:
            self._unread = None

    def _consumed(self, size: int) -> None:
        # A protocol that has paused meanwhile gets its credit when it resumes.
        if self._reading:
            self._port.consume(self.stream, size)
        else:
            self.stream.consumed += size

    def _tell_eof(self) -> None:
        try:
            keep_open = cast("asyncio.Protocol", self._protocol).eof_received()
        except Exception as error:
            self._fail("eof_received", error)
        else:
            if not keep_open:
                self.close()

    def _pause_writing(self) -> None:
        self._writing_paused = True
        self.stream.notify_at = self._low
        try:
            self._protocol.pause_writing()  # type: ignore[union-attr]  # set since `set_protocol`
        except Exception as error:
            self._fail("pause_writing", error)

    def _fail(self, callback: str, error: Exception) -> None:
        self._port.report(f"{callback}() of the protocol on stream {self.stream.id} failed", error, self)
        self._reset_stream(error)

    def _reset_stream(self, error: Exception | None) -> None:
        if self._state is not _LOST:
            self._state = _CLOSING
            self._drop_unread()
            self._port.reset(self.stream)
            self._port.call_soon(self._tell_lost, error)


def _drop(data: bytes) -> None:
    """Stand in for `data_received` of a protocol that only writes."""
