"""Whether the connection under a session is alive: the keepalive and the write timeout.

Any byte from the peer shows that it is alive, so a busy session is never pinged, and a pong may be late as long as
something else comes. A timer that fires much later than it was due shows that our own loop was held up: the peer may
have answered meanwhile, and gets its time again.

A peer on this machine is not watched. When its process ends, the kernel closes the connection; until then the peer may
be stopped in a debugger, or asleep with the machine, and go on later.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from ..aio.timeouts import MAX_LATENESS
from ..errors import LinkTimeout
from .config import Config

__all__ = ["Keepalive", "is_local"]


class Keepalive:
    """Watches one connection.

    Args:
        loop: the loop whose timers are used.
        config: the time limits.
        ping: sends a ping.
        fail: is called once, with the reason, when the connection is considered dead.
        local: whether the peer is on this machine; then `config` turns the keepalive off by default.
    """

    __slots__ = (
        "_blocked_at",
        "_config",
        "_fail",
        "_limits_writing",
        "_loop",
        "_ping",
        "_ping_timer",
        "_pinged_at",
        "_unwritten",
        "_write_timer",
        "last_received",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        ping: Callable[[], None],
        fail: Callable[[LinkTimeout], None],
        *,
        local: bool = False,
    ) -> None:
        self._loop = loop
        self._config = config
        self._ping = ping
        self._fail = fail
        self.last_received = loop.time()
        self._pinged_at: float | None = None
        self._blocked_at: float | None = None
        self._unwritten: Callable[[], int] = int
        self._ping_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._limits_writing = not (local and config.enable_keep_alive is None)
        if config.enable_keep_alive if config.enable_keep_alive is not None else not local:
            self._ping_timer = loop.call_later(config.keep_alive_interval, self._check_peer)

    def stop(self) -> None:
        """Stop all timers."""
        for timer in (self._ping_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._ping_timer = self._write_timer = None
        self._limits_writing = False

    def blocked(self, unwritten: Callable[[], int]) -> None:
        """Note that the connection takes no more bytes; `unwritten` gives the number that wait in it."""
        self._blocked_at = self._loop.time()
        self._unwritten = unwritten
        if self._write_timer is None and self._limits_writing:
            self._start_write_timer(unwritten(), self._config.connection_write_timeout)

    def unblocked(self) -> None:
        """Note that the connection takes bytes again; the timer goes on, which is cheaper than a new one each time."""
        self._blocked_at = None

    def _start_write_timer(self, size: int, delay: float) -> None:
        due = self._loop.time() + delay
        self._write_timer = self._loop.call_at(due, self._check_writing, size, due)

    def _check_writing(self, size: int, due: float) -> None:
        self._write_timer = None
        if self._blocked_at is None:
            return
        timeout = self._config.connection_write_timeout
        now = self._loop.time()
        left = self._unwritten()
        waited = now - self._blocked_at
        if now - due > MAX_LATENESS or left != size:
            self._blocked_at = now
            self._start_write_timer(left, timeout)
        elif waited < timeout:
            self._start_write_timer(left, timeout - waited)
        else:
            self._fail(LinkTimeout(f"the peer has not read for {timeout:g} s, with {left} bytes waiting for it"))

    def _check_peer(self) -> None:
        now = self._loop.time()
        interval, timeout = self._config.keep_alive_interval, self._config.connection_write_timeout
        assert self._ping_timer is not None
        late = now - self._ping_timer.when() > MAX_LATENESS
        if self._pinged_at is not None and self.last_received < self._pinged_at and not late:
            self._fail(LinkTimeout(f"the peer has not answered a keepalive ping within {timeout:g} s"))
            return
        silent = now - self.last_received
        if silent >= interval:
            if self._pinged_at is None or self.last_received >= self._pinged_at:
                self._pinged_at = now
                self._ping()
            delay = timeout
        else:
            self._pinged_at = None
            delay = interval - silent
        self._ping_timer = self._loop.call_later(delay, self._check_peer)


def is_local(transport: asyncio.BaseTransport) -> bool:
    """Whether the kernel closes a connection when the process at its other end ends."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        return bool(sock.family == getattr(socket, "AF_UNIX", None))
    return transport.get_extra_info("pipe") is not None
