"""The keepalive and the write timeout, on a clock that the tests turn."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from plugmux.errors import LinkTimeout
from plugmux.yamux import Config
from plugmux.yamux.keepalive import Keepalive
from support.clock import Clock
from support.yamux_links import mux_pair


class Watched:
    """A connection with a `Keepalive`, and what that has done."""

    def __init__(self, **config: Any) -> None:
        self.clock = Clock()
        self.pings: list[float] = []
        self.failed: list[LinkTimeout] = []
        self.unwritten = 1000
        self.keepalive = Keepalive(
            cast("asyncio.AbstractEventLoop", self.clock),
            Config(**config),
            lambda: self.pings.append(self.clock.now),
            self.failed.append,
        )

    def play(self, script: str) -> None:
        """Let happen what a script says: `31s` passes, the loop `stalls15s`, bytes come or wait or leave."""
        for step in script.split():
            match step:
                case "byte":
                    self.keepalive.last_received = self.clock.now
                case "full":
                    self.keepalive.blocked(lambda: self.unwritten)
                case "room":
                    self.keepalive.unblocked()
                case "written":
                    self.unwritten -= 1
                case "stop":
                    self.keepalive.stop()
                case _ if step.startswith("stalls"):
                    self.clock.block(float(step[6:-1]))
                case _:
                    self.clock.pass_time(float(step[:-1]))


@pytest.mark.parametrize(
    ("script", "pings", "fails"),
    [
        pytest.param("29s", 0, False, id="a peer may be silent for a while"),
        pytest.param("31s", 1, False, id="then it is pinged"),
        pytest.param("39s", 1, False, id="and has its time to answer"),
        pytest.param("41s", 1, True, id="a peer that stays silent is dead"),
        pytest.param("7s byte " * 100, 0, False, id="a busy peer is never pinged"),
        pytest.param("31s byte 25s", 1, False, id="any byte after the ping counts"),
        pytest.param("31s byte 35s", 2, False, id="the next silence is pinged again"),
        pytest.param("31s stalls15s", 1, False, id="a loop that was held up gives the peer its time again"),
        pytest.param("31s stalls15s byte 10s", 1, False, id="in which it may answer"),
        pytest.param("31s stalls15s 11s", 1, True, id="or is found dead"),
    ],
)
def test_a_silent_peer_is_pinged_and_then_dead(script: str, pings: int, fails: bool) -> None:
    watched = Watched()
    watched.play(script)
    assert len(watched.pings) == pings
    assert [str(error) for error in watched.failed] == [
        "the peer has not answered a keepalive ping within 10 s"
    ] * fails
    assert watched.clock.pending == (not fails)


@pytest.mark.parametrize(
    ("script", "fails"),
    [
        pytest.param("full 9s", False, id="a connection may take no byte for a while"),
        pytest.param("full 11s", True, id="then the peer is dead"),
        pytest.param("full " + "9s written " * 20, False, id="a slow connection goes on"),
        pytest.param("full " + "9s written " * 20 + "21s", True, id="until it takes nothing"),
        pytest.param("full 3s room full 3s " * 30, False, id="one that is full again and again goes on"),
        pytest.param("full stalls15s", False, id="a loop that was held up is no full connection"),
        pytest.param("full stalls15s 11s", True, id="but is followed by one"),
        pytest.param("1000s", False, id="without a keepalive, silence means nothing"),
        pytest.param("stop full 1000s", False, id="nothing is watched after the end"),
    ],
)
def test_a_peer_that_does_not_read_is_dead(script: str, fails: bool) -> None:
    watched = Watched(enable_keep_alive=False)
    watched.play(script)
    assert watched.pings == []
    assert [str(error).startswith("the peer has not read for 10 s") for error in watched.failed] == [True] * fails


@pytest.mark.parametrize("script", ["full stop", "stop full", "full 3s room 20s stop"])
def test_the_end_leaves_no_timer(script: str) -> None:
    watched = Watched()
    watched.play(script)
    assert watched.clock.pending == 0


def test_a_peer_on_this_machine_is_not_watched() -> None:
    clock = Clock()
    loop = cast("asyncio.AbstractEventLoop", clock)
    failed: list[LinkTimeout] = []
    keepalive = Keepalive(loop, Config(), lambda: None, failed.append, local=True)
    keepalive.blocked(lambda: 1000)
    clock.pass_time(1000)
    assert (failed, clock.pending) == ([], 0)
    Keepalive(loop, Config(enable_keep_alive=True), lambda: None, failed.append, local=True)
    clock.pass_time(1000)
    assert failed


def test_round_trips_of_microseconds_are_measured_under_uvloop_too() -> None:
    import uvloop

    async def ping() -> None:
        async with mux_pair() as (client, _):
            assert all([await client.ping() > 0 for _ in range(20)])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ping())
