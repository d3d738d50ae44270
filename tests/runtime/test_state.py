"""The table of a plugin's states."""

import pytest
from plugmux_proto.plugins.v1.plugins_pb2 import RunStatus

from plugmux.runtime import PluginHandle, State


class Resting(PluginHandle):
    async def stop(self) -> None: ...


def test_every_state_has_a_status_on_the_wire() -> None:
    assert {state.run_status for state in State} == set(RunStatus.values())


def test_every_state_but_running_out_of_time_can_be_left_for_stopped() -> None:
    assert all(state.may_become(State.STOPPED) for state in State if state is not State.STOPPED)


def test_a_plugin_waits_only_for_what_will_come() -> None:
    waiting = {state for state in State if state.will_run}
    assert waiting == {State.STARTING, State.REGISTERING, State.RUNNING, State.CRASHED, State.BACKING_OFF}


async def test_a_move_that_the_table_lacks_is_a_fault_of_ours() -> None:
    plugin = Resting("kv", State.STOPPED, lambda plugin, before: None)
    with pytest.raises(AssertionError):
        plugin.move(State.RUNNING)
