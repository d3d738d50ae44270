"""Busy polling: when a loop is kept from sleeping until a reply comes, and when it is not."""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from plugmux.aio import busypoll
from plugmux.aio.busypoll import RECALIBRATE_AFTER, SAMPLES, BusyPoll, Load, processors
from plugmux.errors import ConfigError
from plugmux.yamux import Config, Mux
from support.yamux_links import Echo, mux_pair

LIMIT = 0.25


class Turns:
    """As much of an event loop as a `BusyPoll` uses; the tests make its turns."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ready: list[Callable[[], object]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.ready.append(callback)

    def turn(self, *, after: float = 0.0) -> None:
        self.now += after
        ready, self.ready = self.ready, []
        for callback in ready:
            callback()

    @property
    def sleeps(self) -> bool:
        return not self.ready


@pytest.fixture
def loop() -> Turns:
    return Turns()


@pytest.fixture(autouse=True)
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busypoll, "processors", lambda: 2.0)


def poller(loop: Turns, limit: float = LIMIT, load: Load | None = None, available: float = 2.0) -> BusyPoll:
    idle = load or Load(lambda: (0.0, 0))
    return BusyPoll(cast("asyncio.AbstractEventLoop", loop), limit, loop.time, idle, available)


def answered(poll: BusyPoll, loop: Turns, *, after: float) -> bool:
    """Have a reply come after some time, and say whether the loop polled for it."""
    poll.expect()
    polled = not loop.sleeps
    loop.turn(after=after)
    poll.received(loop.now)
    loop.turn()
    assert loop.sleeps
    return polled


def calibrate(poll: BusyPoll, loop: Turns, *, blocking: float, polling: float) -> None:
    """Have the replies of both samples come, after some time each."""
    assert not any(answered(poll, loop, after=blocking) for _ in range(SAMPLES))
    assert all(answered(poll, loop, after=polling) for _ in range(SAMPLES))


def test_the_loop_polls_where_replies_then_come_sooner(loop: Turns) -> None:
    poll = poller(loop)
    for _ in range(3):
        calibrate(poll, loop, blocking=0.2, polling=0.1)
        assert all(answered(poll, loop, after=0.1) for _ in range(RECALIBRATE_AFTER - 2 * SAMPLES))


@pytest.mark.parametrize(
    ("blocking", "polling"),
    [(0.1, 0.1), (0.1, 0.2), (1.0, 0.3), (100.0, 100.0)],
    ids=["no sooner", "later", "longer than the limit", "much longer"],
)
def test_the_loop_blocks_where_they_do_not(loop: Turns, blocking: float, polling: float) -> None:
    poll = poller(loop)
    for _ in range(3):
        calibrate(poll, loop, blocking=blocking, polling=polling)
        assert not any(answered(poll, loop, after=blocking) for _ in range(RECALIBRATE_AFTER - 2 * SAMPLES))


def test_the_loop_polls_no_longer_than_the_limit(loop: Turns) -> None:
    poll = poller(loop)
    calibrate(poll, loop, blocking=0.2, polling=0.1)
    poll.expect()
    for _ in range(4):
        assert not loop.sleeps
        loop.turn(after=LIMIT / 4)
    assert loop.sleeps


def test_each_turn_polls_once(loop: Turns) -> None:
    poll = poller(loop)
    calibrate(poll, loop, blocking=0.2, polling=0.1)
    for _ in range(100):
        poll.expect()
        poll.received(loop.now)
        poll.expect()
        assert len(loop.ready) == 1


def test_bytes_that_were_not_expected_do_not_count(loop: Turns) -> None:
    poll = poller(loop)
    for _ in range(2 * SAMPLES):
        poll.received(loop.now)
    calibrate(poll, loop, blocking=0.2, polling=0.1)


@pytest.mark.parametrize("kept", ["limit", "processors"])
def test_it_can_be_turned_off(loop: Turns, kept: str) -> None:
    poll = poller(loop, 0.0 if kept == "limit" else LIMIT, available=1.5 if kept == "processors" else 2.0)
    assert not any(answered(poll, loop, after=0.0) for _ in range(RECALIBRATE_AFTER))


def test_stopping_ends_the_polling(loop: Turns) -> None:
    poll = poller(loop)
    calibrate(poll, loop, blocking=0.2, polling=0.1)
    poll.expect()
    poll.stop()
    loop.turn()
    assert loop.sleeps


def test_a_time_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="busy_poll is -1"):
        Config(busy_poll=-1)


def test_a_loop_with_other_ready_work_is_given_no_more_turns(loop: Turns) -> None:
    poll = poller(loop)
    calibrate(poll, loop, blocking=0.2, polling=0.1)
    poll.expect()
    loop.turn()
    assert not loop.sleeps
    loop.turn(after=LIMIT / 2)  # somebody else has worked
    assert loop.sleeps
    assert answered(poll, loop, after=0.01)


@pytest.mark.parametrize("others", ["threads", "processes"])
def test_nothing_is_looked_for_while_others_want_the_processor(loop: Turns, others: str) -> None:
    counts = [0.0, 0]
    poll = poller(loop, load=Load(lambda: (counts[0], int(counts[1]))))
    calibrate(poll, loop, blocking=0.2, polling=0.1)
    looked = []
    for _ in range(2 * SAMPLES):
        counts[0] += 0.05 if others == "threads" else 0
        counts[1] += 1 if others == "processes" else 0
        looked.append(answered(poll, loop, after=0.1))
    assert looked[:1] == [True]
    assert not any(looked[SAMPLES:])


@pytest.mark.parametrize(
    ("quotas", "limit"),
    [({}, None), ({"": "max 100000", "a/b": "50000 100000"}, 0.5), ({"a": "150000 100000", "a/b": "max 100000"}, 1.5)],
)
def test_a_quota_of_time_counts_as_fewer_processors(
    quotas: dict[str, str], limit: float | None, tmp_path: Path
) -> None:
    for name, quota in quotas.items():
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "cpu.max").write_text(quota + "\n")
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    bound = len(os.sched_getaffinity(0))
    assert processors(str(tmp_path), str(own)) == (bound if limit is None else min(limit, bound))


def test_a_thread_that_works_is_noticed() -> None:
    load = Load()
    thread = threading.Thread(target=lambda: sum(range(3_000_000)))
    thread.start()
    thread.join()
    assert load.is_contended(0.0)


class Sleeps(selectors.DefaultSelector):
    """Counts how often the loop was ready to sleep."""

    count = 0

    def select(self, timeout: float | None = None) -> Any:
        self.count += timeout is None or timeout > 0
        return super().select(timeout)


class Answers(Echo):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.close()


class Asks(Echo):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.transport.write(b"?")

    def data_received(self, data: bytes) -> None:
        self.answer.set_result(data)
        self.transport.close()


async def ask(mux: Mux) -> None:
    asking = Asks()
    mux.open(asking)
    assert await asking.answer == b"?"


def run_with(main: Callable[[Mux, Sleeps], Coroutine[Any, Any, None]], **config: Config) -> None:
    """Run something with a mux whose peer answers it, in a loop whose sleeps are counted."""

    async def connected() -> None:
        async with mux_pair(listen=Answers, **config) as (client, _):
            for _ in range(SAMPLES):  # asleep
                await ask(client)
            await main(client, selector)

    selector = Sleeps()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(connected())


@pytest.mark.parametrize(("busy_poll", "sleeps"), [(0.0, True), (60.0, False)])
def test_a_loop_whose_mux_is_answered_at_once_does_not_sleep(busy_poll: float, sleeps: bool) -> None:
    async def main(mux: Mux, selector: Sleeps) -> None:
        before = selector.count
        for _ in range(SAMPLES - 1):
            await ask(mux)
        assert (selector.count > before) is sleeps

    run_with(main, client=Config(busy_poll=busy_poll), server=Config(busy_poll=busy_poll))


def test_whose_last_call_is_answered_expects_nothing() -> None:
    async def main(mux: Mux, selector: Sleeps) -> None:
        await ask(mux)
        before = selector.count
        await asyncio.sleep(0.02)  # It has nothing else to do.
        assert selector.count > before

    run_with(main, client=Config(busy_poll=60), server=Config(busy_poll=0))
