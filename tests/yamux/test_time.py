"""The time limits, on a clock that the tests turn."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any, cast

import pytest

from plugmux.aio.timeouts import TimeoutQueue
from plugmux.errors import LinkTimeout
from plugmux.yamux import Config, Handshake, Stream
from plugmux.yamux.keepalive import Keepalive
from support.yamux_links import mux_pair


class Timer:
    """A timer handle of the clock."""

    def __init__(self, due: float, callback: Callable[[], object]) -> None:
        self.due = due
        self.callback: Callable[[], object] | None = callback

    def when(self) -> float:
        return self.due

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due


class Clock:
    """As much of an event loop as time limits use; `pass_time` turns it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, callback: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(due, lambda: callback(*args))
        heapq.heappush(self.timers, timer)
        return timer

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        return self.call_at(self.now + delay, callback, *args)

    def pass_time(self, seconds: float) -> None:
        """Run what comes due, each at its time."""
        end = self.now + seconds
        while self.timers and self.timers[0].due <= end:
            self.now = max(self.now, self.timers[0].due)
            self._run_one()
        self.now = end

    def block(self, seconds: float) -> None:
        """Run what comes due, only when the time is over, as a loop does that was blocked meanwhile."""
        self.now += seconds
        due = [timer for timer in self.timers if timer.due <= self.now]
        for _ in due:
            self._run_one()

    def _run_one(self) -> None:
        timer = heapq.heappop(self.timers)
        if timer.callback is not None:
            timer.callback()

    @property
    def pending(self) -> int:
        return sum(timer.callback is not None for timer in self.timers)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Watched:
    """A connection with a `Keepalive`, and what it has done."""

    def __init__(self, clock: Clock, **config: Any) -> None:
        self.pings: list[float] = []
        self.failed: list[LinkTimeout] = []
        self.unwritten = 1000
        self.keepalive = Keepalive(
            cast("asyncio.AbstractEventLoop", clock),
            Config(**config),
            lambda: self.pings.append(clock.now),
            self.failed.append,
        )


def test_a_silent_peer_is_pinged_and_ends_the_session_when_it_stays_silent(clock: Clock) -> None:
    watched = Watched(clock)
    clock.pass_time(29)
    assert watched.pings == []
    clock.pass_time(2)
    assert watched.pings == [130.0]
    clock.pass_time(8)
    assert watched.failed == []
    clock.pass_time(2)
    assert "within 10 s" in str(watched.failed[0])
    assert clock.pending == 0


def test_a_busy_peer_is_never_pinged(clock: Clock) -> None:
    watched = Watched(clock)
    for _ in range(100):
        clock.pass_time(7)
        watched.keepalive.last_received = clock.now
    assert watched.pings == []
    assert watched.failed == []


def test_any_byte_after_the_ping_is_life(clock: Clock) -> None:
    watched = Watched(clock)
    clock.pass_time(31)
    watched.keepalive.last_received = clock.now
    clock.pass_time(25)
    assert watched.failed == []
    assert len(watched.pings) == 1
    clock.pass_time(20)
    assert len(watched.pings) == 2


def test_a_loop_that_was_blocked_gives_the_peer_its_time_again(clock: Clock) -> None:
    watched = Watched(clock)
    clock.pass_time(31)
    clock.block(15)
    assert watched.failed == []
    assert len(watched.pings) == 1
    watched.keepalive.last_received = clock.now
    clock.pass_time(10)
    assert watched.failed == []


def test_a_peer_that_stays_silent_after_a_blocked_loop_is_found(clock: Clock) -> None:
    watched = Watched(clock)
    clock.pass_time(31)
    clock.block(15)
    clock.pass_time(11)
    assert len(watched.failed) == 1


def test_the_keepalive_can_be_turned_off(clock: Clock) -> None:
    watched = Watched(clock, enable_keep_alive=False)
    clock.pass_time(1000)
    assert watched.pings == []
    watched.keepalive.stop()


def test_a_connection_that_takes_no_byte_ends_the_session(clock: Clock) -> None:
    watched = Watched(clock, enable_keep_alive=False)
    watched.keepalive.blocked(lambda: watched.unwritten)
    clock.pass_time(9)
    assert watched.failed == []
    clock.pass_time(2)
    assert "1000 bytes waiting" in str(watched.failed[0])


def test_a_slow_connection_that_takes_some_bytes_goes_on(clock: Clock) -> None:
    watched = Watched(clock, enable_keep_alive=False)
    watched.keepalive.blocked(lambda: watched.unwritten)
    for _ in range(20):
        clock.pass_time(9)
        watched.unwritten -= 1
    assert watched.failed == []
    clock.pass_time(21)
    assert len(watched.failed) == 1


def test_a_connection_that_is_blocked_again_and_again_goes_on(clock: Clock) -> None:
    watched = Watched(clock, enable_keep_alive=False)
    for _ in range(30):
        watched.keepalive.blocked(lambda: watched.unwritten)
        clock.pass_time(3)
        watched.keepalive.unblocked()
        watched.keepalive.blocked(lambda: watched.unwritten)
        clock.pass_time(3)
    assert watched.failed == []
    watched.keepalive.unblocked()
    clock.pass_time(20)
    assert clock.pending == 0


def test_a_blocked_loop_is_not_a_blocked_connection(clock: Clock) -> None:
    watched = Watched(clock, enable_keep_alive=False)
    watched.keepalive.blocked(lambda: watched.unwritten)
    clock.block(15)
    assert watched.failed == []
    clock.pass_time(11)
    assert len(watched.failed) == 1


def test_stopping_cancels_the_timers(clock: Clock) -> None:
    watched = Watched(clock)
    watched.keepalive.blocked(lambda: watched.unwritten)
    watched.keepalive.stop()
    assert clock.pending == 0


def streams(count: int) -> list[Stream]:
    return [Stream(number, Handshake.SYN_SENT, 0.0) for number in range(count)]


def test_deadlines_expire_in_order_with_one_timer(clock: Clock) -> None:
    expired: list[Stream] = []
    deadlines = TimeoutQueue(10, expired.append, cast("asyncio.AbstractEventLoop", clock))
    first, second, third = streams(3)
    deadlines.add(first)
    clock.pass_time(3)
    deadlines.add(second)
    deadlines.add(third)
    assert clock.pending == 1
    deadlines.discard(second)
    deadlines.discard(second)
    clock.pass_time(8)
    assert expired == [first]
    clock.pass_time(3)
    assert expired == [first, third]
    assert clock.pending == 0


def test_an_expiry_may_add_and_stop(clock: Clock) -> None:
    deadlines: TimeoutQueue[Stream]
    expired: list[Stream] = []

    def again(stream: Stream) -> None:
        expired.append(stream)
        if len(expired) < 3:
            deadlines.add(stream)
        else:
            deadlines.stop()

    deadlines = TimeoutQueue(10, again, cast("asyncio.AbstractEventLoop", clock))
    deadlines.add(streams(1)[0])
    clock.pass_time(100)
    assert len(expired) == 3
    assert clock.pending == 0
    deadlines.add(streams(1)[0])
    deadlines.stop()
    assert clock.pending == 0


def test_without_a_limit_nothing_expires(clock: Clock) -> None:
    deadlines: TimeoutQueue[Stream] = TimeoutQueue(None, lambda _: None, cast("asyncio.AbstractEventLoop", clock))
    deadlines.add(streams(1)[0])
    assert clock.pending == 0


def test_a_loop_that_was_held_up_gives_its_peers_their_time_again(clock: Clock) -> None:
    expired: list[Stream] = []
    deadlines = TimeoutQueue(5, expired.append, cast("asyncio.AbstractEventLoop", clock))
    streams = [Stream(number, Handshake.SYN_SENT, 0) for number in (1, 3)]
    deadlines.add(streams[0])
    clock.pass_time(1)
    deadlines.add(streams[1])
    clock.block(60)
    assert expired == []
    deadlines.discard(streams[0])  # what it has sent meanwhile is read now
    clock.pass_time(10)
    assert expired == [streams[1]]


def test_a_peer_on_this_machine_is_not_watched(clock: Clock) -> None:
    loop = cast("asyncio.AbstractEventLoop", clock)
    failed: list[LinkTimeout] = []
    keepalive = Keepalive(loop, Config(), lambda: None, failed.append, local=True)
    keepalive.blocked(lambda: 1000)
    clock.pass_time(1000)
    assert (failed, clock.pending) == ([], 0)
    Keepalive(loop, Config(enable_keep_alive=True), lambda: None, failed.append, local=True)
    clock.pass_time(1000)
    assert failed


def test_nothing_is_watched_after_the_end(clock: Clock) -> None:
    watched = Watched(clock)
    watched.keepalive.stop()
    watched.keepalive.blocked(lambda: 1)
    assert clock.pending == 0


def test_round_trips_of_microseconds_are_measured_under_uvloop_too() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def ping() -> None:
        async with mux_pair() as (client, _):
            assert all([await client.ping() > 0 for _ in range(20)])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ping())
