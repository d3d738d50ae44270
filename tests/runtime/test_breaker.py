"""The circuit breaker and the retry budget, without I/O."""

import pytest

from plugmux.errors import ConfigError
from plugmux.runtime.calls.breaker import Breaker, BreakerPolicy, Circuit
from plugmux.runtime.calls.retry import Budget, RetryPolicy


def opened() -> Breaker:
    breaker = Breaker(BreakerPolicy(failures=2, open_time=5))
    breaker.failed(100.0)
    breaker.failed(100.0)
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(BreakerPolicy(failures=2))
    breaker.failed(0)
    breaker.succeeded()
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
    breaker.begin()
    assert not breaker.admits(105.0)


def test_a_trial_that_succeeds_closes_it() -> None:
    breaker = opened()
    assert breaker.admits(105.0)
    breaker.begin()
    breaker.succeeded()
    assert breaker.circuit is Circuit.CLOSED


def test_a_trial_that_fails_opens_it_again() -> None:
    breaker = opened()
    assert breaker.admits(105.0)
    breaker.begin()
    breaker.failed(105.0)
    assert not breaker.admits(109.0)
    assert breaker.admits(110.0)


def test_a_trial_that_its_caller_gave_up_leaves_room_for_another() -> None:
    breaker = opened()
    assert breaker.admits(105.0)
    breaker.begin()
    breaker.abandoned()
    assert breaker.admits(105.0)


def test_a_restarted_plugin_begins_with_a_closed_one() -> None:
    breaker = opened()
    breaker.reset()
    assert breaker.admits(100.0)


def test_the_budget_is_spent_and_earned_back() -> None:
    budget = Budget(RetryPolicy(budget=1, earned=0.5))
    assert budget.spend()
    assert not budget.spend()
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()


def test_delays_double_up_to_their_limit() -> None:
    policy = RetryPolicy(delay=0.1, longest_delay=0.3)
    assert [policy.delay_before(attempt) for attempt in (2, 3, 4)] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("arguments", [{"attempts": 0}, {"delay": -1}, {"delay": 2, "longest_delay": 1}])
def test_a_retry_policy_that_cannot_be_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RetryPolicy(**arguments)  # type: ignore[arg-type]


def test_a_breaker_policy_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError):
        BreakerPolicy(failures=-1)
