"""The host's side of configurations: what is given, what is checked where, and what becomes of a change that fails."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import ConfigError, Launch, PluginCause, PluginError, Policies, RestartPolicy, Runtime, Timeouts
from plugmux.contract.registration import Configuration
from plugmux.runtime import BadConfiguration, State
from plugmux.runtime.changes.configuration import check
from plugmux.runtime.supervisor import Supervisor
from support.programs import script
from support.resources import end_at_once
from support.tools import local_address

PLUGIN = """
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux import Plugin
    from plugmux.plugin import Configured

    def load(values):
        if values.get("n") == 13:
            raise ValueError("no thirteen")
        return values

    class Store(KeyValueService):
        async def get(self, request, context):
            return GetResponse(value=plugin.configuration_json.encode())

    plugin = Plugin(Store(), version="v1.0.0", configuration=Configured(load, json_schema='{"type": "object"}'))
    plugin.run()
"""


@pytest.mark.parametrize("given", [{"kv": 3}, {"kv": [1]}, {"kv": {"a": object()}}, {"kv": {"a": float("nan")}}])
def test_what_is_no_json_object_is_refused_at_once(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="configuration of plugin 'kv'"):
        Runtime(configuration=given)  # type: ignore[arg-type]  # no object of JSON


async def test_a_change_that_the_new_process_does_not_bear_leaves_the_old_one_at_work(tmp_path: Path) -> None:
    program = script(tmp_path, "kv", PLUGIN)
    async with Runtime([Launch([program, "x"], replicas=2)], configuration={"kv": {"n": 1}}) as runtime:
        kv = runtime.client(KeyValueClient)
        pids = [plugin.pid for plugin in runtime.plugins()]
        with pytest.raises(PluginError, match="the old one stays"):
            await runtime.configure("kv", {"n": 13})
        assert [plugin.pid for plugin in runtime.plugins()] == pids
        assert (await kv.get(GetRequest())).value == b'{"n": 1}'
        await runtime.configure("kv", {"n": 2})
        assert (await kv.get(GetRequest())).value == b'{"n": 2}'
        await runtime.restart("kv")
        assert (await kv.get(GetRequest())).value == b'{"n": 2}'


RELOADING = """
    import os, time
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux import Plugin
    from plugmux.plugin import Configured

    def apply(values):
        while os.path.exists(OPTIONS.get("gate", "")):
            time.sleep(0.01)
        if values["n"] == 13:
            raise ValueError("no thirteen")

    class Store(KeyValueService):
        async def get(self, request, context):
            return GetResponse(value=str(settings.value["n"]).encode())

    settings = Configured(dict, on_change=apply, json_schema='{"type": "object"}')
    Plugin(Store(), version="v1.0.0", configuration=settings).run()
"""


@pytest.mark.parametrize("gone", [0, 1])
async def test_a_change_reaches_the_replicas_that_run_while_another_is_starting_again(
    tmp_path: Path, gone: int
) -> None:
    launch = Launch(
        [script(tmp_path, "kv", RELOADING)], name="kv", replicas=2, restart=RestartPolicy(delay=600, longest_delay=600)
    )
    async with Runtime([launch], configuration={"kv": {"n": 1}}) as runtime:
        kv, dead = runtime.client(KeyValueClient), runtime.plugins()[gone]
        assert dead.pid is not None
        end_at_once(dead.pid)
        while dead.state is not State.BACKING_OFF:
            await dead.changed()
        await runtime.configure("kv", {"n": 2})
        assert (await kv.get(GetRequest())).value == b"2"
        with pytest.raises(PluginError, match="no thirteen"):
            await runtime.configure("kv", {"n": 13})
        assert (await kv.get(GetRequest())).value == b"2"
        await runtime.restart("kv")
        assert [plugin.state for plugin in runtime.plugins()] == [State.RUNNING] * 2
        assert (await kv.get(GetRequest())).value == b"2"


@pytest.mark.parametrize(("given", "n", "told"), [(1, 2, ""), (13, 13, "no thirteen")])
async def test_a_replica_that_is_accepted_while_a_change_is_under_way_gets_what_comes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: int, n: int, told: str
) -> None:
    accepted, admitted, gate = asyncio.Event(), asyncio.Event(), tmp_path / "gate"
    gate.touch()
    register = Supervisor._register

    async def held_up(self: Supervisor, *rest: Any) -> PluginError | None:
        failure = await register(self, *rest)
        if self.record.restarts:
            accepted.set()
            await admitted.wait()
        return failure

    monkeypatch.setattr(Supervisor, "_register", held_up)
    launch = Launch([script(tmp_path, "kv", RELOADING, gate=str(gate))], replicas=2, restart=RestartPolicy(delay=0))
    policies = Policies(timeouts=Timeouts(configure=120))  # The change lasts as long as the start of a process.
    async with Runtime([launch], configuration={"kv": {"n": 1}}, policies=policies) as runtime:
        _, late = runtime.plugins()
        assert late.pid is not None
        end_at_once(late.pid)
        await late.changed()
        if given == 1:
            await accepted.wait()
        change = asyncio.create_task(runtime.configure("kv", {"n": n}))
        await accepted.wait()
        gate.unlink()
        asyncio.get_running_loop().call_later(0.05, admitted.set)  # time in which the change would be over
        if told:
            with pytest.raises(PluginError, match=told):
                await change
        else:
            await change
        assert admitted.is_set()
        while late.state is not State.RUNNING:
            await late.changed()
        for plugin in runtime.plugins():
            assert plugin.link is not None
            settled = await plugin.link.client(KeyValueClient).get(GetRequest())
            assert settled.value == (b"1" if told else b"2")


async def test_a_change_whose_caller_leaves_is_made_all_the_same(tmp_path: Path) -> None:
    async with Runtime([script(tmp_path, "kv", PLUGIN)], configuration={"kv": {"n": 1}}) as runtime:
        old, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        change = asyncio.create_task(runtime.configure("kv", {"n": 2}))
        while runtime.plugin("kv") is old:
            await asyncio.sleep(0)
        change.cancel()
        with pytest.raises(asyncio.CancelledError):
            await change
        await runtime.restart("kv")
        assert (await kv.get(GetRequest())).value == b'{"n": 2}'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"absent": 1}', "at /absent: it is no field of kv.v1.PutRequest"),
        ('{"key": 3}', "at /key: it is no field of kv.v1.PutRequest, or not of its type"),
    ],
)
def test_a_message_type_that_the_host_knows_is_checked(text: str, told: str) -> None:
    with pytest.raises(BadConfiguration, match=told):
        check("kv", text, Configuration(message_type="kv.v1.PutRequest"))


def test_a_message_type_that_the_host_does_not_know_is_left_to_the_plugin() -> None:
    check("kv", '{"a": 1}', Configuration(message_type="nobody.v1.Knows"))


def test_a_schema_that_cannot_be_used_is_told() -> None:
    with pytest.raises(BadConfiguration, match=r"cannot be checked: .*'oneOf', which is not supported"):
        check("kv", "", Configuration(json_schema='{"oneOf": []}'))


async def test_a_plugin_that_started_by_itself_and_takes_no_change_goes_on_with_what_it_has(tmp_path: Path) -> None:
    address = local_address(tmp_path)
    async with Runtime(listen=[address], configuration={"kv": {"n": 1}}) as runtime:
        arrivals = runtime.events()
        arrived = asyncio.ensure_future(anext(arrivals))
        process = await asyncio.create_subprocess_exec(
            script(tmp_path, "kv", PLUGIN), env={**os.environ, "PLUGMUX_SOCKET": address}
        )
        try:
            await arrived
            kv = runtime.client(KeyValueClient)
            with pytest.raises(PluginError, match="started by itself and takes no change") as caught:
                await runtime.configure("kv", {"n": 2})
            assert caught.value.cause is PluginCause.UNSUPPORTED
            assert (await kv.get(GetRequest())).value == b'{"n": 1}'
        finally:
            process.terminate()
            await process.wait()
            await arrivals.aclose()


@dataclass
class Settings:
    n: int = 1


@pytest.mark.parametrize("configuration", [Settings(7), Struct(fields={"n": Value(number_value=7)})])
async def test_a_configuration_is_given_as_an_object_of_a_type(
    configuration: Settings | Struct, tmp_path: Path
) -> None:
    async with Runtime([script(tmp_path, "kv", PLUGIN)], configuration={"kv": configuration}) as runtime:
        given = (await runtime.client(KeyValueClient).get(GetRequest())).value
        assert json.loads(given) == {"n": 7}
