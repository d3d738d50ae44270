"""Whether the connection under a session is alive: the keepalive and the write timeout.

Any byte from the peer is life, so a busy session is never pinged, and a late pong counts as long as something came. A
timer that fires much later than it was due tells that our own loop was blocked: then the peer may well have answered,
and gets its time again.

A peer on this machine is not watched: whatever becomes of its process, the kernel tells by the end of the connection,
and as long as it does not, the peer may be stopped in a debugger or asleep with the machine, and go on later.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from ..errors import LinkTimeout
from .config import Config

__all__ = ["Liveness", "is_local"]

LATE = 1.0


class Liveness:
    """Watches one connection.

    Args:
        loop: the loop whose timers are used.
        config: the time limits.
        ping: sends a ping.
        fail: is called once, with the reason, when the connection is taken for dead.
        local: whether the peer is on this machine, so that `config` says by default that nothing is watched.
    """

    __slots__ = (
        "_blocked_at",
        "_config",
        "_fail",
        "_loop",
        "_ping",
        "_pinged_at",
        "_pulse",
        "_unwritten",
        "_watch",
        "_watches_writing",
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
        self._pulse: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._watches_writing = not (local and config.enable_keep_alive is None)
        if config.enable_keep_alive if config.enable_keep_alive is not None else not local:
            self._pulse = loop.call_later(config.keep_alive_interval, self._check_pulse)

    def stop(self) -> None:
        """Watch no more."""
        for timer in (self._pulse, self._watch):
            if timer is not None:
                timer.cancel()
        self._pulse = self._watch = None
        self._watches_writing = False

    def blocked(self, unwritten: Callable[[], int]) -> None:
        """Note that the connection takes no more bytes; `unwritten` tells how many wait in it."""
        self._blocked_at = self._loop.time()
        self._unwritten = unwritten
        if self._watch is None and self._watches_writing:
            self._watch_for(unwritten(), self._config.connection_write_timeout)

    def unblocked(self) -> None:
        """Note that it takes bytes again; the timer goes on, since it is cheaper than one for each time."""
        self._blocked_at = None

    def _watch_for(self, size: int, delay: float) -> None:
        due = self._loop.time() + delay
        self._watch = self._loop.call_at(due, self._check_writing, size, due)

    def _check_writing(self, size: int, due: float) -> None:
        self._watch = None
        if self._blocked_at is None:
            return
        timeout = self._config.connection_write_timeout
        now = self._loop.time()
        left = self._unwritten()
        waited = now - self._blocked_at
        if now - due > LATE or left != size:
            self._blocked_at = now
            self._watch_for(left, timeout)
        elif waited < timeout:
            self._watch_for(left, timeout - waited)
        else:
            self._fail(LinkTimeout(f"the peer has not read for {timeout:g} s, with {left} bytes waiting for it"))

    def _check_pulse(self) -> None:
        now = self._loop.time()
        interval, timeout = self._config.keep_alive_interval, self._config.connection_write_timeout
        assert self._pulse is not None
        late = now - self._pulse.when() > LATE
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
        self._pulse = self._loop.call_later(delay, self._check_pulse)


def is_local(transport: asyncio.BaseTransport) -> bool:
    """Whether a connection ends by itself when the process at its other end does."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        return bool(sock.family == getattr(socket, "AF_UNIX", None))
    return transport.get_extra_info("pipe") is not None
