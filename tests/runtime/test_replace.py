"""A plugin is replaced while calls go on: the new one must prove itself, and the old one finishes its work."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import (
    ConfigError,
    Launch,
    PluginCause,
    PluginError,
    Policies,
    RestartPolicy,
    RetryPolicy,
    RpcError,
    Runtime,
)
from plugmux.errors import StateError
from plugmux.runtime import State
from support.programs import kv_script, script
from support.resources import alive

AUDITS = """
    from kv.v1.kv_connect import AuditService, KeyValueService
    from kv.v1.kv_pb2 import GetResponse, RecordResponse
    from plugmux import Plugin

    class Store(KeyValueService):
        async def get(self, request, context):
            return GetResponse(value=OPTIONS["version"].encode())

    class Audit(AuditService):
        async def record(self, request, context):
            return RecordResponse()

    Plugin(Store(), Audit(), version=OPTIONS["version"]).run()
"""
SICK = """
    import asyncio, os, socket
    from plugmux.contract.launch import LaunchConfig
    from plugmux.link.link import Link, Peer
    from plugmux_proto.plugins.v1.plugins_connect import RegisterClient
    from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

    async def sick(scope, receive, send):
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body"})

    async def main():
        config = LaunchConfig.take_from(os.environ)
        link = await Link(sick, initiator=True, peer=Peer("host")).over_socket(socket.socket(fileno=config.read_fd))
        request = RegisterPluginRequest(name=config.name, version="v2.0.0", services=["kv.v1.KeyValueService"])
        await link.client(RegisterClient).register_plugin(request)
        await link.wait_closed()

    asyncio.run(main())
"""
NEVER_REGISTERS = "import time; time.sleep(3600)"


def version(directory: Path, number: str) -> str:
    """A key-value plugin of some version, as an executable file named after it."""
    return kv_script(directory, f"kv-{number}", number)


def with_audits(directory: Path, number: str) -> str:
    """The same with one service more."""
    return script(directory, f"kv-{number}", AUDITS, version=number)


async def get(runtime: Runtime, key: str = "version") -> bytes:
    return (await runtime.client(KeyValueClient).get(GetRequest(key=key))).value


async def appears(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.01)


def is_alive(pid: int | None) -> bool:
    return pid is not None and alive(pid)


async def test_the_new_one_takes_the_calls_and_the_old_one_ends(tmp_path: Path) -> None:
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        old = runtime.plugin("kv")
        pid = old.pid
        new = await runtime.replace("kv", version(tmp_path, "v2.0.0"))
        assert runtime.plugins() == [new]
        assert (new.name, new.version, new.state) == ("kv", "v2.0.0", State.RUNNING)
        assert await get(runtime) == b"v2.0.0"
        assert old.state is State.STOPPED
        assert not is_alive(pid)


async def test_one_event_tells_of_the_change(tmp_path: Path) -> None:
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        events = runtime.events(present=True)
        assert (await anext(events)).state is State.RUNNING
        with pytest.raises(PluginError):
            await runtime.replace("kv", str(tmp_path / "absent"))
        await runtime.replace("kv", version(tmp_path, "v2.0.0"))
        await runtime.disable("kv")
    told = [(event.before, event.state, event.status) async for event in events]
    assert told[0] == (State.RUNNING, State.RUNNING, "in the place of v1.0.0")
    assert [state for _, state, _ in told[1:]] == [State.STOPPING, State.DISABLED, State.STOPPED]


async def test_without_a_source_the_same_program_is_started_anew(tmp_path: Path) -> None:
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv", replicas=2)]) as runtime:
        pids = {plugin.pid for plugin in runtime.plugins()}
        await runtime.replace("kv")
        assert len(runtime.plugins()) == 2
        assert not pids & {plugin.pid for plugin in runtime.plugins()}
        assert not any(map(is_alive, pids))


async def test_a_call_under_way_ends_on_the_old_one(tmp_path: Path) -> None:
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        gate = tmp_path / "gate"
        under_way = asyncio.create_task(get(runtime, f"wait for {gate}"))
        await appears(tmp_path / "gate.begun")
        replacing = asyncio.create_task(runtime.replace("kv", version(tmp_path, "v2.0.0")))
        while await get(runtime) != b"v2.0.0":
            await asyncio.sleep(0.01)
        assert not under_way.done()
        assert not replacing.done()
        gate.touch()
        assert await under_way == b"v1.0.0"
        assert (await replacing).version == "v2.0.0"


async def test_a_call_that_outlasts_the_drain_time_is_cut_off_and_made_again(tmp_path: Path) -> None:
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        under_way = asyncio.create_task(get(runtime, f"wait for {tmp_path}/gate"))
        await appears(tmp_path / "gate.begun")
        await runtime.replace("kv", version(tmp_path, "v2.0.0"), drain_time=0.1)
        (tmp_path / "gate").touch()
        assert await under_way == b"v2.0.0"  # Get has no side effects.


async def test_a_call_that_outlasts_the_drain_time_fails_where_it_must_not_be_made_again(tmp_path: Path) -> None:
    once = Policies(methods={"/kv.v1.KeyValueService/Get": RetryPolicy(attempts=1)})
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv")], policies=once) as runtime:
        under_way = asyncio.create_task(get(runtime, f"wait for {tmp_path}/gate"))
        await appears(tmp_path / "gate.begun")
        await runtime.replace("kv", version(tmp_path, "v2.0.0"), drain_time=0.1)
        with pytest.raises(RpcError, match="the peer may have acted on it"):
            await under_way
        assert await get(runtime) == b"v2.0.0"


FAILURES: dict[str, tuple[str | None, float, PluginCause, str]] = {
    "it does not register": (NEVER_REGISTERS, 0.5, PluginCause.LATE, "did not register within 0.5 s"),
    "it ends at once": ("import sys; sys.exit('no database')", 30, PluginCause.EXITED, "no database"),
    "it is not healthy": (SICK, 30, PluginCause.UNFIT, "answered /health with status 503"),
    "it serves less": (None, 30, PluginCause.UNFIT, "does not serve kv.v1.AuditService any more"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_new_one_that_fails_is_ended_and_the_old_one_stays(tmp_path: Path, failure: str) -> None:
    source, timeout, cause, told = FAILURES[failure]
    before = with_audits if failure == "it serves less" else version
    async with Runtime([Launch([before(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        old = runtime.plugin("kv")
        program = version(tmp_path, "v2.0.0") if source is None else script(tmp_path, "new", source)
        new = Launch([program], timeout=timeout)
        with pytest.raises(PluginError, match="the old one stays") as caught:
            await runtime.replace("kv", new)
        assert caught.value.cause is cause
        assert told in str(caught.value)
        assert caught.value.plugin == "kv"
        assert runtime.plugins() == [old]
        assert await get(runtime) == b"v1.0.0"


async def test_a_new_one_may_serve_less_where_that_is_allowed(tmp_path: Path) -> None:
    async with Runtime([Launch([with_audits(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        await runtime.replace("kv", version(tmp_path, "v2.0.0"), same_services=False)
        assert await get(runtime) == b"v2.0.0"


async def test_a_missing_program_is_told_and_nothing_changes(tmp_path: Path) -> None:
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        with pytest.raises(PluginError) as caught:
            await runtime.replace("kv", str(tmp_path / "absent"))
        assert caught.value.cause is PluginCause.NOT_FOUND
        assert await get(runtime) == b"v1.0.0"


async def test_a_plugin_that_does_not_run_is_replaced_by_one_that_does(tmp_path: Path) -> None:
    broken = script(tmp_path, "broken", "import sys; sys.exit(3)")
    async with Runtime([Launch([broken], name="kv")]) as runtime:
        assert runtime.plugin("kv").state is State.GAVE_UP
        await runtime.replace("kv", version(tmp_path, "v2.0.0"))
        assert await get(runtime) == b"v2.0.0"


async def test_a_disabled_plugin_is_not_replaced(tmp_path: Path) -> None:
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        await runtime.disable("kv")
        with pytest.raises(PluginError) as caught:
            await runtime.replace("kv")
        assert caught.value.cause is PluginCause.DISABLED


async def test_a_plugin_that_is_disabled_meanwhile_stays_so(tmp_path: Path) -> None:
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        replacing = asyncio.create_task(runtime.replace("kv", version(tmp_path, "v2.0.0")))
        await asyncio.sleep(0)
        await runtime.disable("kv")
        with pytest.raises(PluginError, match="it is disabled"):
            await replacing
        assert [plugin.state for plugin in runtime.plugins()] == [State.DISABLED]


async def test_what_cannot_be_replaced_is_told(tmp_path: Path) -> None:
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        with pytest.raises(PluginError, match="no plugin of that name"):
            await runtime.replace("nobody")
        with pytest.raises(ConfigError, match="give a path"):
            await runtime.replace("kv", object())  # type: ignore[arg-type]  # no source
        first = asyncio.create_task(runtime.replace("kv"))
        await asyncio.sleep(0)
        with pytest.raises(ConfigError, match="is being replaced already"):
            await runtime.replace("kv")
        await first


async def test_a_replacement_that_is_cancelled_leaves_the_old_one_alone(tmp_path: Path) -> None:
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        never = Launch(
            [script(tmp_path, "never", f"open({str(tmp_path / 'up')!r}, 'w'); {NEVER_REGISTERS}")], timeout=60
        )
        replacing = asyncio.create_task(runtime.replace("kv", never))
        await appears(tmp_path / "up")
        replacing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await replacing
        assert await get(runtime) == b"v1.0.0"
        await runtime.replace("kv", version(tmp_path, "v2.0.0"))


async def test_a_runtime_that_closes_ends_the_new_one_as_well(tmp_path: Path) -> None:
    async with Runtime([Launch([version(tmp_path, "v1.0.0")], name="kv")]) as runtime:
        up = tmp_path / "up"
        new = f"{up}.new"
        tell = f"open({new!r}, 'w').write(str(os.getpid())); os.rename({new!r}, {str(up)!r})"
        program = script(tmp_path, "never", f"import os; {tell}; {NEVER_REGISTERS}")
        replacing = asyncio.create_task(runtime.replace("kv", Launch([program], timeout=60)))
        await appears(up)
    with pytest.raises(StateError, match="has been closed"):
        await replacing
    assert not is_alive(int(up.read_text()))


async def test_an_old_one_that_dies_of_its_last_call_is_not_waited_for(tmp_path: Path) -> None:
    launch = Launch([version(tmp_path, "v1.0.0")], name="kv", restart=RestartPolicy(tries=0))
    async with Runtime([launch]) as runtime:
        gate = tmp_path / "gate"
        under_way = asyncio.create_task(get(runtime, f"wait for {gate}"))
        await appears(tmp_path / "gate.begun")
        pid = runtime.plugin("kv").pid
        assert pid is not None
        replacing = asyncio.create_task(runtime.replace("kv", version(tmp_path, "v2.0.0")))
        while await get(runtime) != b"v2.0.0":
            await asyncio.sleep(0.01)
        os.kill(pid, 9)
        await replacing
        gate.touch()
        assert await under_way == b"v2.0.0"
