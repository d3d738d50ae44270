"""Plugins that serve, are busy, or hang: told apart, told of, and only the last ever ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import ConfigError, Launch, PluginCause, Policies, RestartPolicy, Runtime
from plugmux.connect import Code, RpcError
from plugmux.link.app import LinkApp
from plugmux.link.link import Link, Peer
from plugmux.runtime import Health, HealthPolicy, PluginHandle, State
from plugmux.runtime.health.checker import HealthChecker
from plugmux.runtime.health.policy import Liveness
from plugmux.runtime.logs.log import LogBook
from plugmux.runtime.plugin import PluginRecord
from plugmux.yamux import Config
from support.programs import KV_PLUGIN, kv_program, script
from support.resources import end_at_once, hold
from support.tools import local_address

QUICK = HealthPolicy(interval=0.05, timeout=0.1, hung_after=0.3)
PATIENT = HealthPolicy(interval=0.05, timeout=0.1, hung_after=60)
ENDING = HealthPolicy(interval=0.1, timeout=0.2, hung_after=2, on_hang="restart")
AT_ONCE = RestartPolicy(delay=0.01)

PLUGIN = KV_PLUGIN.replace(
    "class Store",
    """
    import time
    from plugmux.services.health import HealthService

    class SlowHealth(HealthService):
        async def check(self, request, context):
            await asyncio.sleep(3600)

    class Store""",
).replace(
    "async def get(self, request, context):",
    """async def get(self, request, context):
            if request.key == "block":
                time.sleep(3600)
            if request.key.startswith("ready "):
                plugin.health.set("", request.key == "ready yes")
                return GetResponse()""",
)
SLOW_PLUGIN = PLUGIN.replace("Plugin(Store(),", "Plugin(Store(), SlowHealth(),")


async def health_is(plugin: PluginHandle | PluginRecord, health: Health) -> None:
    while plugin.health is not health:
        await asyncio.sleep(0.005)


async def logged(runtime: Runtime, *texts: str) -> None:
    """Wait until the log of the plugin `kv` has lines with these texts, in any order."""
    missing = set(texts)
    async with aclosing(runtime.follow_logs("kv")) as entries:
        while missing:
            entry = await anext(entries)
            missing -= {text for text in missing if text in entry.message}


# -- the rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "heard", "now", "answer", "verdict"),
    [
        ([10.0], 10.1, 10.1, Health.SERVING, Health.SERVING),
        ([10.0], 10.1, 10.1, Health.NOT_SERVING, Health.NOT_SERVING),
        ([10.0], 9.0, 15.0, None, Health.BUSY),
        ([10.0, 40.0], 9.0, 69.9, None, Health.BUSY),
        ([10.0, 40.0], 9.0, 70.0, None, Health.HANGING),
        ([10.0, 40.0], 69.0, 70.0, None, Health.BUSY),
        ([10.0], 10.0, 1000.0, None, Health.BUSY),
    ],
)
def test_only_silence_while_it_is_asked_is_a_hang(
    asked: list[float], heard: float, now: float, answer: Health | None, verdict: Health
) -> None:
    liveness = Liveness(HealthPolicy())
    for time in asked:
        liveness.asked(time)
    assert liveness.status(answer, heard, now) is verdict


def test_silence_counts_anew_after_any_frame() -> None:
    liveness = Liveness(HealthPolicy(hung_after=60))
    liveness.asked(0)
    assert liveness.status(None, 1, 100) is Health.BUSY
    liveness.asked(110)
    assert liveness.status(None, 1, 169) is Health.BUSY
    assert liveness.status(None, 1, 170) is Health.HANGING


def test_a_host_that_was_held_up_itself_blames_nobody() -> None:
    liveness = Liveness(HealthPolicy(hung_after=60))
    liveness.asked(0)
    liveness.reset(1000)
    assert liveness.status(None, -1, 1059) is Health.BUSY
    assert liveness.silent_for(1059) == 59


@pytest.mark.parametrize(
    "arguments", [{"interval": -1}, {"timeout": 0}, {"timeout": 2, "hung_after": 1}, {"on_hang": "kill"}]
)
def test_a_policy_that_cannot_be_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        HealthPolicy(**arguments)  # type: ignore[arg-type]  # values of several types


# -- plugins that are well, or slow -----------------------------------------------------------------------------------


async def test_a_plugin_says_whether_it_is_ready(tmp_path: Path) -> None:
    async with Runtime([script(tmp_path, "kv", PLUGIN)], policies=Policies(health=PATIENT)) as runtime:
        plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        async with aclosing(runtime.events(present=True)) as events:
            assert (await anext(events)).health is Health.SERVING
            await kv.get(GetRequest(key="ready no"))
            told = await anext(events)
            while told.health is Health.BUSY:  # A loaded machine may be late as well.
                told = await anext(events)
            assert (told.before, told.state, told.health) == (State.RUNNING, State.RUNNING, Health.NOT_SERVING)
            assert told.status == "it says that it is not ready"
        await kv.get(GetRequest(key="ready yes"))
        await health_is(plugin, Health.SERVING)
        assert plugin.status == ""
    assert plugin.health is Health.UNKNOWN


async def test_a_plugin_whose_handlers_are_slow_is_busy_and_never_hangs(tmp_path: Path) -> None:
    policy = replace(ENDING, hung_after=3)  # Any frame within this time shows that it lives, on a busy machine as well.
    async with Runtime([script(tmp_path, "kv", SLOW_PLUGIN)], policies=Policies(health=policy)) as runtime:
        plugin = runtime.plugin("kv")
        await health_is(plugin, Health.BUSY)
        pid = plugin.pid
        await asyncio.sleep(1.3 * policy.hung_after)  # It would be ended within this time.
        assert (plugin.health, plugin.state, plugin.pid) == (Health.BUSY, State.RUNNING, pid)
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value == str(pid).encode()


async def test_a_plugin_that_is_silent_for_a_while_is_busy_and_its_calls_go_on(tmp_path: Path) -> None:
    async with Runtime([script(tmp_path, "kv", PLUGIN)], policies=Policies(health=PATIENT)) as runtime:
        plugin = runtime.plugin("kv")
        assert plugin.pid is not None
        os.kill(plugin.pid, signal.SIGSTOP)
        call = asyncio.ensure_future(runtime.client(KeyValueClient).get(GetRequest(key="pid")))
        await health_is(plugin, Health.BUSY)
        os.kill(plugin.pid, signal.SIGCONT)
        assert (await call).value == str(plugin.pid).encode()
        await health_is(plugin, Health.SERVING)
        assert plugin.restarts == 0


async def test_a_plugin_that_does_not_read_for_a_while_keeps_its_link(tmp_path: Path) -> None:
    impatient = Config(connection_write_timeout=0.05)
    async with Runtime([kv_program(tmp_path)], policies=Policies(health=PATIENT, mux=impatient)) as runtime:
        plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        assert plugin.pid is not None
        await hold(plugin.pid)
        calls = [kv.put(PutRequest(key="a", value=bytes(1 << 20)), timeout=0.5) for _ in range(4)]
        assert {type(late) for late in await asyncio.gather(*calls, return_exceptions=True)} == {RpcError}
        os.kill(plugin.pid, signal.SIGCONT)
        assert (await kv.get(GetRequest(key="pid"))).value == str(plugin.pid).encode()
        assert plugin.restarts == 0


async def test_of_two_replicas_the_one_that_is_well_gets_the_calls(tmp_path: Path) -> None:
    launch = Launch([kv_program(tmp_path)], replicas=2)
    async with Runtime([launch], policies=Policies(health=QUICK)) as runtime:
        hanging, well = runtime.plugins()
        assert hanging.pid is not None
        os.kill(hanging.pid, signal.SIGSTOP)
        await health_is(hanging, Health.HANGING)
        kv = runtime.client(KeyValueClient)
        assert {(await kv.get(GetRequest(key="pid"))).value for _ in range(5)} == {str(well.pid).encode()}
        end_at_once(hanging.pid)


# -- plugins that hang ------------------------------------------------------------------------------------------------


async def test_a_stopped_plugin_hangs_is_reported_and_comes_back(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)], policies=Policies(health=QUICK)) as runtime:
        plugin = runtime.plugin("kv")
        assert plugin.pid is not None
        os.kill(plugin.pid, signal.SIGSTOP)
        await logged(runtime, "it hangs: nothing has come from it", "it is stopped")
        assert (plugin.health, plugin.state) == (Health.HANGING, State.RUNNING)
        os.kill(plugin.pid, signal.SIGCONT)
        await logged(runtime, "signs of life")
        await health_is(plugin, Health.SERVING)
        assert plugin.restarts == 0


async def test_a_plugin_whose_loop_is_blocked_tells_where_and_lives_on(tmp_path: Path) -> None:
    async with Runtime([script(tmp_path, "kv", PLUGIN)], policies=Policies(health=QUICK)) as runtime:
        plugin = runtime.plugin("kv")
        pid = plugin.pid
        with pytest.raises(RpcError, match="deadline"):
            await runtime.client(KeyValueClient).get(GetRequest(key="block"), timeout=0.2)
        await logged(runtime, "it hangs", "most recent call first", "in get")
        assert (plugin.state, plugin.pid) == (State.RUNNING, pid)
        assert pid is not None
        end_at_once(pid)


@pytest.mark.parametrize("stop", [True, False], ids=["stopped", "blocked"])
async def test_a_hanging_plugin_is_ended_and_started_again_where_the_policy_says_so(tmp_path: Path, stop: bool) -> None:
    program = kv_program(tmp_path) if stop else script(tmp_path, "kv", PLUGIN)
    launch = Launch([program], restart=AT_ONCE)
    async with Runtime([launch], policies=Policies(health=ENDING)) as runtime:
        plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        before = plugin.pid
        assert before is not None
        if stop:
            await hold(before)
        with pytest.raises(RpcError) as caught:
            await kv.get(GetRequest(key="block"))
        assert caught.value.code is Code.UNAVAILABLE
        assert "it hangs" in caught.value.message
        after = (await kv.get(GetRequest(key="pid"), timeout=120)).value
        assert after == str(plugin.pid).encode() != str(before).encode()
        await logged(runtime, "it is stopped" if stop else "in get")
        assert plugin.restarts == 1
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)


async def test_the_cause_of_a_hang_can_be_switched_on(tmp_path: Path) -> None:
    launch = Launch([kv_program(tmp_path)], restart=RestartPolicy(tries=0))
    async with Runtime([launch], policies=Policies(health=ENDING)) as runtime:
        plugin = runtime.plugin("kv")
        assert plugin.pid is not None
        os.kill(plugin.pid, signal.SIGSTOP)
        while plugin.state is not State.GAVE_UP:
            await plugin.changed()
        assert plugin.error is not None
        assert plugin.error.cause is PluginCause.HUNG


async def test_the_link_of_one_that_started_by_itself_is_closed_and_it_comes_back(tmp_path: Path) -> None:
    address = local_address(tmp_path)
    environ = {**os.environ, "PLUGMUX_SOCKET": address}
    async with (
        Runtime(listen=[address], policies=Policies(health=ENDING)) as runtime,
        aclosing(runtime.events()) as events,
    ):
        coming = asyncio.ensure_future(anext(events))
        process = await asyncio.create_subprocess_exec(kv_program(tmp_path), env=environ)
        assert (await coming).state is State.RUNNING
        process.send_signal(signal.SIGSTOP)
        while (event := await anext(events)).state is not State.STOPPED:
            pass
        assert "it hangs" in event.status
        assert runtime.plugins() == []
        process.send_signal(signal.SIGCONT)
        while (await anext(events)).state is not State.RUNNING:
            pass
        assert runtime.plugin("kv").pid == process.pid
        process.terminate()
        assert await process.wait() == 0


# -- what a check asks ------------------------------------------------------------------------------------------------


async def probed(site: LinkApp, check: Callable[[PluginRecord, LogBook], Awaitable[None]]) -> None:
    """Check a plugin that serves a site, at the other end of a link, until `check` has seen enough."""
    near, far = Link(LinkApp(), initiator=False, peer=Peer("kv")), Link(site, initiator=True, peer=Peer("the runtime"))
    ends = socket.socketpair()
    async with await near.over_socket(ends[0]), await far.over_socket(ends[1]):
        plugin, logs = PluginRecord("kv", State.REGISTERING, Fake(), Policies()), LogBook()
        plugin.move(State.RUNNING)
        task = asyncio.create_task(HealthChecker(plugin, near, QUICK, logs.of("kv")).hung())
        await check(plugin, logs)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Fake:
    """Owns a record without a life."""

    async def stop(self) -> None: ...
    async def leave(self) -> None: ...


@pytest.mark.parametrize("status", [200, 503])
async def test_a_plugin_without_grpc_health_is_asked_for_its_health_by_http(status: int) -> None:
    asked: list[str] = []

    class Plain(LinkApp):
        async def _serve(self, scope, receive, send):  # type: ignore[no-untyped-def]
            asked.append(scope["path"])
            if scope["path"] != "/health" or status == 200:
                await super()._serve(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body"})

    async def check(plugin: PluginRecord, logs: LogBook) -> None:
        while asked.count("/health") < 3:
            await asyncio.sleep(0.005)
        await health_is(plugin, Health.SERVING if status == 200 else Health.NOT_SERVING)

    await probed(Plain(), check)
    assert asked.count("/grpc.health.v1.Health/Check") == 1
