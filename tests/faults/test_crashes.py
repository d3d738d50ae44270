"""A plugin that ends or loses its link in any way is told of, ended and started again; nobody else notices."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from plugmux import Launch, PluginCause
from plugmux.connect import Code, RpcError
from plugmux.runtime import State
from support.resources import alive, end_at_once, gone
from support.tools import ON_WINDOWS, faulty_plugin
from support.ward import AT_ONCE, Ward, ward

WATCHED = [("python", "best"), ("go", "best"), ("ts", "best")]
if hasattr(os, "waitid"):
    WATCHED.append(("go", "threads"))
"""How the end of a process is learnt of is of the host. Of plugins in Python, test_host_killed.py shows it."""

pytestmark = [
    pytest.mark.usefixtures("watching"),
    pytest.mark.parametrize(("language", "watching"), WATCHED, indirect=["watching"]),
]


async def kill(test: Ward) -> None:
    call = await test.asking("hang")
    assert test.plugin.pid is not None
    end_at_once(test.plugin.pid)
    await call


def ask(key: str) -> Callable[[Ward], Awaitable[object]]:
    return lambda test: test.ask(key)


@dataclass(frozen=True)
class Crash:
    """What is done to a plugin, and what is then told of it."""

    provoke: Callable[[Ward], Awaitable[object]]
    cause: PluginCause
    told: str
    exit_code: int | None = None
    signal_number: int | None = None


KILLED = ("exited with status 15", 15, None) if ON_WINDOWS else ("was ended by SIGKILL", None, 9)
"""What is told of a process that another has ended, its exit status and signal."""

CRASHES = {
    "killed": Crash(kill, PluginCause.EXITED, f"{KILLED[0]} while it was serving", *KILLED[1:]),
    "exit during a call": Crash(
        ask("exit"), PluginCause.EXITED, "exited with status 7 while.*on my way out", exit_code=7
    ),
    "garbage on the link": Crash(ask("garbage"), PluginCause.NOT_A_PLUGIN, "broke the protocol"),
    "half a frame, then death": Crash(ask("halfframe"), PluginCause.EXITED, *KILLED),
    "link closed, process alive": Crash(ask("unlink"), PluginCause.LINK_LOST, "closed its link .* did not end"),
    "deaf to SIGTERM": Crash(ask("unlink deaf"), PluginCause.LINK_LOST, "closed its link .* did not end"),
}
if ON_WINDOWS:  # Wine 8 closes a pipe that a process has inherited only when the process ends.
    CRASHES = {name: crash for name, crash in CRASHES.items() if crash.cause is not PluginCause.LINK_LOST}

RUNS_AGAIN = [State.CRASHED, State.BACKING_OFF, State.STARTING, State.REGISTERING, State.RUNNING]


async def test_a_crash_is_told_to_the_call_in_flight_and_the_plugin_runs_again(language: str) -> None:
    async with ward(Launch(faulty_plugin(language), restart=AT_ONCE, timeout=60)) as test:
        for number, (name, crash) in enumerate(CRASHES.items(), 1):
            first = test.plugin.pid
            test.events.clear()
            with pytest.raises(RpcError) as caught:
                await crash.provoke(test)
            assert caught.value.code is Code.UNAVAILABLE, name
            assert "plugin 'faulty': it " in caught.value.message, name
            assert re.search(crash.told, caught.value.message, re.DOTALL), name
            await test.until(State.RUNNING)
            assert await test.ask("pid") == str(test.plugin.pid), name
            assert test.plugin.pid != first, name
            assert (test.plugin.error, test.plugin.restarts) == (None, number), name
            assert test.states == RUNS_AGAIN, name
            error = test.events[0].error
            assert error is not None, name
            assert error.cause is crash.cause, name
            if crash.cause is PluginCause.EXITED:
                assert (error.exit_code, error.signal_number) == (crash.exit_code, crash.signal_number), name


async def test_an_exit_during_registration_is_final(language: str) -> None:
    async with ward(Launch(faulty_plugin(language, "exit-registering"), timeout=60)) as test:
        assert test.plugin.state is State.GAVE_UP
        assert test.plugin.error is not None
        assert (test.plugin.error.cause, test.plugin.error.exit_code) == (PluginCause.EXITED, 3)
        with pytest.raises(RpcError, match=r"exited with status 3 before it had registered(.|\n)*half registered"):
            await test.ask("pid")


async def test_a_child_ends_with_the_plugin_and_a_grandchild_that_keeps_the_pipes_open_delays_nothing(
    language: str,
) -> None:
    async with ward(Launch(faulty_plugin(language), restart=AT_ONCE, timeout=60)) as test:
        child = int(await test.ask("child attached"))
        stray = int(await test.ask("child detached"))
        try:
            with pytest.raises(RpcError, match=r"status 7 while(.|\n)*on my way out"):
                await test.ask("exit")
            assert await test.ask("pid", timeout=60)
            await gone(child)
            assert alive(stray) is not ON_WINDOWS  # where a job ends with all that is in it
        finally:
            if alive(stray):
                end_at_once(stray)
