"""The table of a plugin's states, and the record that moves through it."""

import pytest
from plugmux_proto.plugins.v1.plugins_pb2 import RunStatus

from plugmux.runtime import Policies, State
from plugmux.runtime.calls.breaker import Breaker, Circuit
from plugmux.runtime.plugin import PluginHandle, PluginRecord
from plugmux.runtime.state import NEXT, ON_THE_WAY


class Idle:
    """Owns a record and drives nothing; controls nothing as well."""

    async def stop(self) -> None: ...
    async def leave(self) -> None: ...
    async def disable(self, name: str) -> None: ...
    async def enable(self, name: str) -> None: ...
    async def restart(self, name: str) -> None: ...


def record(state: State = State.STOPPED) -> PluginRecord:
    return PluginRecord("kv", state, Idle(), Policies())


def test_every_state_has_a_status_on_the_wire() -> None:
    assert {state.run_status for state in State} == set(RunStatus.values())


def test_every_state_but_running_out_of_time_can_be_left_for_stopped() -> None:
    assert all(State.STOPPED in NEXT[state] for state in State if state is not State.STOPPED)


def test_a_plugin_waits_only_for_what_will_come() -> None:
    on_the_way = {State.STARTING, State.REGISTERING, State.RUNNING, State.CRASHED, State.BACKING_OFF, State.UNREACHABLE}
    assert on_the_way == ON_THE_WAY


async def test_a_move_that_the_table_lacks_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError):
        record().move(State.RUNNING)


def test_the_observer_of_a_record_is_told_of_each_change_and_the_state_before() -> None:
    seen: list[tuple[State, State]] = []
    plugin = record()
    plugin.observer = lambda changed, before: seen.append((before, changed.state))
    plugin.move(State.STARTING)
    plugin.move(State.STARTING)
    plugin.move(State.REGISTERING)
    assert seen == [(State.STOPPED, State.STARTING), (State.STARTING, State.REGISTERING)]


def test_a_restarted_plugin_begins_with_a_closed_breaker() -> None:
    plugin = record(State.REGISTERING)
    plugin.breaker = Breaker(plugin.policies.breaker)
    plugin.breaker.circuit = Circuit.OPEN
    plugin.move(State.RUNNING)
    assert PluginHandle(plugin, Idle()).circuit is Circuit.CLOSED


def test_failures_in_a_row_open_the_breaker_and_an_answer_between_them_does_not() -> None:
    plugin = record(State.RUNNING)
    handle = PluginHandle(plugin, Idle())
    most = plugin.policies.breaker.failures
    for _ in range(2):
        for _ in range(most - 1):
            plugin.call_failed(0, "a call")
        assert handle.circuit is Circuit.CLOSED
        plugin.call_answered()
    for _ in range(most):
        plugin.call_failed(0, "a call")
    assert handle.circuit is Circuit.OPEN
    plugin.call_answered()
    assert (handle.circuit, plugin.breaker) == (Circuit.CLOSED, None)


def test_a_handle_shows_the_record_and_cannot_change_it() -> None:
    plugin = record()
    handle = PluginHandle(plugin, Idle())
    plugin.move(State.STARTING, "it begins")
    assert (handle.state, handle.status) == (State.STARTING, "it begins")
    for name in ("state", "status", "link", "error", "pid"):
        with pytest.raises(AttributeError):
            setattr(handle, name, None)
