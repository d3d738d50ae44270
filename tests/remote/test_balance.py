"""Which of several replicas over a network is called: decisions without I/O."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from plugmux.link.link import Peer
from plugmux.runtime.calls.balance import FAILURES, FIRST_EJECTION, Balancer
from plugmux.runtime.health.policy import Health
from plugmux.runtime.plugin import PluginRecord
from plugmux.runtime.settings import Policies
from plugmux.runtime.state import State


def replicas(count: int, *, remote: bool = True) -> list[PluginRecord]:
    made = []
    for _ in range(count):
        owner: Any = None
        record = PluginRecord("kv", State.RUNNING, owner, Policies())
        record.peer = Peer("kv", identity="spiffe://test/kv") if remote else None
        record.health = Health.SERVING
        made.append(record)
    return made


def chosen(balancer: Balancer, able: list[PluginRecord], times: int = 3000, now: float = 0.0) -> Counter[int]:
    return Counter(able.index(balancer.choose(able, None, now)) for _ in range(times))


def test_on_one_machine_the_one_with_the_fewest_calls_is_called() -> None:
    able = replicas(3, remote=False)
    able[0].in_flight, able[1].in_flight = 2, 1
    assert chosen(Balancer(), able, 10) == {2: 10}


def test_two_are_drawn_and_the_less_loaded_is_called() -> None:
    able = replicas(3)
    able[0].in_flight = 5
    counts = chosen(Balancer(random.Random(1).random), able)
    assert counts[0] == 0  # Beside any other it is the more loaded one.
    assert abs(counts[1] - counts[2]) < 300


def test_a_slow_machine_gets_few_calls_and_does_not_set_the_pace() -> None:
    balancer, able = Balancer(random.Random(1).random), replicas(4)
    for plugin, seconds in zip(able, (0.5, 0.01, 0.01, 0.01), strict=True):
        for _ in range(20):
            balancer.answered(plugin, seconds)
    assert chosen(balancer, able)[0] == 0
    for plugin in able[1:]:
        plugin.in_flight = 100  # The others are so busy that the slow one is worth it.
    assert chosen(balancer, able)[0] > 1000


def test_one_that_fails_alone_is_left_alone_for_a_while() -> None:
    balancer, able = Balancer(random.Random(1).random), replicas(3)
    for _ in range(FAILURES):
        balancer.failed(able[0], 0.0)
    assert chosen(balancer, able)[0] == 0
    assert chosen(balancer, able, now=FIRST_EJECTION)[0] > 0
    for plugin in able:  # Where all fail, all are called.
        for _ in range(FAILURES):
            balancer.failed(plugin, 10.0)
    assert set(chosen(balancer, able, now=10.0)) == {0, 1, 2}


def test_the_one_that_the_call_has_failed_on_is_the_last() -> None:
    balancer, able = Balancer(), replicas(2)
    assert all(balancer.choose(able, able[0], 0.0) is able[1] for _ in range(50))
    assert balancer.choose(able[:1], able[0], 0.0) is able[0]


def test_the_lowest_priority_is_called_as_long_as_one_of_it_can_be() -> None:
    balancer, able = Balancer(random.Random(1).random), replicas(4)
    able[2].priority = able[3].priority = 10
    assert chosen(balancer, able).keys() == {0, 1}
    assert chosen(balancer, able[1:]).keys() == {0}  # The other one of it is away.
    assert chosen(balancer, able[2:]).keys() == {0, 1}
    able[0].health = able[1].health = Health.NOT_SERVING
    assert chosen(balancer, able).keys() == {2, 3}


def test_a_call_that_failed_on_the_only_one_of_a_priority_goes_to_the_next() -> None:
    balancer, able = Balancer(random.Random(1).random), replicas(2)
    able[1].priority = 10
    assert balancer.choose(able, None, 0.0) is able[0]
    assert balancer.choose(able, able[0], 0.0) is able[1]


def test_each_is_called_as_often_as_its_weight_says() -> None:
    balancer, able = Balancer(random.Random(1).random), replicas(3)
    for plugin, weight in zip(able, (60, 30, 10), strict=True):
        plugin.weight = weight
    counts = chosen(balancer, able, 10_000)
    assert [round(counts[n] / 1000) for n in range(3)] == [6, 3, 1]


def test_calls_in_flight_count_by_weight() -> None:
    balancer, able = Balancer(random.Random(1).random), replicas(2)
    able[0].weight, able[1].weight = 3, 1
    able[0].in_flight, able[1].in_flight = 8, 4
    assert chosen(balancer, able, 100) == {0: 100}


def test_a_weight_of_0_is_a_small_chance_and_an_equal_one_among_its_like() -> None:
    balancer, able = Balancer(random.Random(1).random), replicas(2)
    able[0].weight = 0
    assert 0 < chosen(balancer, able)[0] < 500
    able[1].weight = 0
    assert abs(chosen(balancer, able)[0] - 1500) < 150
