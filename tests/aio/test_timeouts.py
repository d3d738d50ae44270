"""A queue of timeouts: one timer for many members, which excuses a loop that was held up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from plugmux.aio.timeouts import TimeoutQueue
from support.clock import Clock


class Members:
    """A queue on a clock, and the members that have expired."""

    def __init__(self, seconds: float | None, then: Callable[[str], object] = lambda _: None) -> None:
        self.clock = Clock()
        self.expired: list[str] = []
        self.queue: TimeoutQueue[str] = TimeoutQueue(
            seconds, self._expire, cast("asyncio.AbstractEventLoop", self.clock)
        )
        self._then = then

    def _expire(self, member: str) -> None:
        self.expired.append(member)
        self._then(member)


def test_members_expire_in_order_with_one_timer() -> None:
    members = Members(10)
    members.queue.add("first")
    members.clock.pass_time(3)
    members.queue.add("second")
    members.queue.add("third")
    assert members.clock.pending == 1
    members.queue.discard("second")
    members.queue.discard("second")
    members.clock.pass_time(8)
    assert members.expired == ["first"]
    members.clock.pass_time(3)
    assert members.expired == ["first", "third"]
    assert members.clock.pending == 0


def test_an_expiry_may_add_and_stop() -> None:
    def again(member: str) -> None:
        members.queue.stop() if len(members.expired) == 3 else members.queue.add(member)

    members = Members(10, again)
    members.queue.add("a")
    members.clock.pass_time(100)
    assert members.expired == ["a"] * 3
    members.queue.add("b")
    assert (len(members.queue), members.clock.pending) == (0, 0)


def test_an_expiry_may_discard_another() -> None:
    members = Members(10, lambda _: members.queue.discard("b"))
    members.queue.add("a")
    members.queue.add("b")
    members.clock.pass_time(10)
    assert members.expired == ["a"]


def test_without_a_limit_no_member_expires() -> None:
    members = Members(None)
    members.queue.add("a")
    assert (len(members.queue), members.clock.pending) == (0, 0)


def test_a_queue_that_was_cleared_takes_members_again() -> None:
    members = Members(10)
    members.queue.add("a")
    members.queue.clear()
    assert members.clock.pending == 0
    members.queue.add("b")
    members.clock.pass_time(10)
    assert members.expired == ["b"]


def test_a_loop_that_was_held_up_gives_its_members_their_time_again() -> None:
    members = Members(5)
    members.queue.add("a")
    members.clock.pass_time(1)
    members.queue.add("b")
    members.clock.block(60)
    assert members.expired == []
    members.queue.discard("a")  # what it has sent meanwhile is read now
    members.clock.pass_time(10)
    assert members.expired == ["b"]


@pytest.mark.parametrize("seconds", [3.5, 300])
def test_a_timer_that_was_set_for_a_member_that_left_excuses_the_others_too(seconds: float) -> None:
    members = Members(5)
    members.queue.add("a")
    members.clock.pass_time(3)
    members.queue.add("b")
    members.queue.discard("a")
    members.clock.block(2 + seconds)  # the timer was due after 2 s; by now the time of "b" may be over too
    assert members.expired == []
    members.clock.pass_time(seconds + 6)
    assert members.expired == ["b"]
