"""The circuit breaker and the retry budget, without I/O."""

import pytest

from plugmux.errors import ConfigError
from plugmux.runtime.calls.breaker import Breaker, BreakerPolicy, Circuit
from plugmux.runtime.calls.retry import RetryPolicy
from plugmux.runtime.calls.router import Budget


def opened() -> Breaker:
    breaker = Breaker(BreakerPolicy(failures=2, open_time=5))
    breaker.failed(100.0)
    breaker.failed(100.0)
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(BreakerPolicy(failures=2))
    breaker.failed(0)
    assert breaker.admits(0)
    breaker.failed(0)
    assert breaker.circuit is Circuit.OPEN
    assert not breaker.admits(0)


def test_it_never_opens_when_the_policy_says_so() -> None:
    breaker = Breaker(BreakerPolicy(failures=0))
    for _ in range(100):
        breaker.failed(0)
    assert breaker.admits(0)


def test_after_a_while_one_call_is_let_through() -> None:
    breaker = opened()
    assert not breaker.admits(104.9)
    assert breaker.admits(105.0)
    breaker.begin(105.0)
    assert not breaker.admits(105.0)


def test_a_trial_that_fails_opens_it_again() -> None:
    breaker = opened()
    assert breaker.admits(105.0)
    breaker.begin(105.0)
    breaker.failed(105.0)
    assert not breaker.admits(109.0)
    assert breaker.admits(110.0)


def test_a_trial_that_its_caller_gave_up_leaves_room_for_another() -> None:
    breaker = opened()
    assert breaker.admits(105.0)
    breaker.begin(105.0)
    breaker.abandoned()
    assert breaker.admits(105.0)


def test_a_trial_that_takes_long_leaves_room_for_another() -> None:
    breaker = opened()
    assert breaker.admits(105.0)
    breaker.begin(106.0)
    assert not breaker.admits(110.9)
    assert breaker.admits(111.0)
    breaker.begin(111.0)
    assert not breaker.admits(111.0)
    breaker.failed(112.0)
    assert not breaker.admits(116.9)
    assert breaker.admits(117.0)


def test_the_budget_is_spent_and_earned_back() -> None:
    budget = Budget(RetryPolicy(budget=1, earned=0.5))
    assert budget.spend()
    assert not budget.spend()
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()


def test_one_call_that_fails_again_and_again_shuts_out_itself_alone() -> None:
    breaker = Breaker(BreakerPolicy(failures=3))
    for _ in range(3):
        breaker.failed(0, "bad")
    assert breaker.circuit is Circuit.OPEN
    assert not breaker.admits(1, "bad")
    assert breaker.admits(1, "good")


def test_as_many_different_calls_that_fail_shut_out_every_other() -> None:
    breaker = Breaker(BreakerPolicy(failures=3))
    for call in ("one", "two", "three"):
        assert breaker.admits(0, call)
        breaker.failed(0, call)
    assert not breaker.admits(1, "four")


def test_a_trial_of_the_bad_call_keeps_no_other_waiting() -> None:
    breaker = Breaker(BreakerPolicy(failures=2, open_time=5))
    for _ in range(2):
        breaker.failed(0, "bad")
    assert breaker.admits(5, "bad")
    breaker.begin(5)
    assert not breaker.admits(5, "bad")
    assert breaker.admits(5, "good")


def test_delays_double_up_to_their_limit() -> None:
    policy = RetryPolicy(delay=0.1, longest_delay=0.3)
    assert [policy.delay_before(attempt, lambda: 0) for attempt in (2, 3, 4)] == [0.1, 0.2, 0.3]


def test_chance_takes_up_to_a_half_off_a_delay() -> None:
    policy = RetryPolicy(delay=0.1, longest_delay=0.3)
    drawn = iter((0.0, 0.5, 1.0))
    assert [policy.delay_before(3, lambda: next(drawn)) for _ in range(3)] == pytest.approx([0.2, 0.15, 0.1])


@pytest.mark.parametrize("attempt", [1026, 1027, 10**6])
def test_a_delay_has_its_limit_after_any_number_of_attempts(attempt: int) -> None:
    assert RetryPolicy(attempts=10**7).delay_before(attempt, lambda: 0) == 1.0


@pytest.mark.parametrize("arguments", [{"attempts": 0}, {"delay": -1}, {"delay": 2, "longest_delay": 1}])
def test_a_retry_policy_that_cannot_be_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RetryPolicy(**arguments)  # type: ignore[arg-type]  # values of several types


def test_a_breaker_policy_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError):
        BreakerPolicy(failures=-1)
