"""The public face of the runtime: policies, host, interceptors, clients of a service, and plugins that must run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import AuditClient, AuditService, KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse, RecordRequest, RecordResponse

import plugmux
from plugmux import (
    ConfigError,
    Directory,
    HealthPolicy,
    Host,
    Interceptors,
    Launch,
    PluginCause,
    PluginError,
    Policies,
    RestartPolicy,
    Runtime,
    Timeouts,
)
from plugmux.connect import Context, Interceptor, UnaryNext
from plugmux.runtime import State
from support.programs import kv_program, script

NEVER = RestartPolicy(tries=0)


class Store(KeyValueService):
    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        return GetResponse(value=b"here")


class Notes(AuditService):
    async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
        return RecordResponse()


class Noted(Interceptor):
    """Notes the methods of the calls that pass."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self._name = name
        self._seen = seen

    async def unary(self, request: Any, context: Context, call: UnaryNext) -> Any:
        self._seen.append(self._name)
        return await call(request, context)


# -- names and settings -----------------------------------------------------------------------------------------------


def test_every_name_at_top_level_is_there() -> None:
    assert len(set(plugmux.__all__)) == len(plugmux.__all__)
    assert isinstance(plugmux.COMPILED, bool)
    for name in set(plugmux.__all__) - {"COMPILED"}:
        assert getattr(plugmux, name).__name__ == name


@pytest.mark.parametrize("setting", ["restart", "retry", "breaker", "health", "timeouts"])
def test_default_policies_are_those_of_their_parts(setting: str) -> None:
    part = getattr(Policies(), setting)
    assert part == type(part)()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Policies(parallel_starts=0),
        lambda: Host(protocol_versions=[]),
        lambda: Timeouts(drain=0),
        lambda: Timeouts(kill=float("inf")),
        lambda: Timeouts(request=-1),
    ],
)
def test_a_setting_out_of_its_range_is_refused(make: Any) -> None:
    with pytest.raises(ConfigError):
        make()


async def test_the_policies_of_a_launch_take_the_place_of_the_runtimes(tmp_path: Path) -> None:
    own = Policies(restart=NEVER, health=HealthPolicy(interval=7), timeouts=Timeouts(registration=12))
    launches = [
        Launch([script(tmp_path, "own", "raise SystemExit(3)")], policies=own),
        Launch([script(tmp_path, "late", "import time; time.sleep(3600)")], policies=Policies(timeouts=Timeouts(0.1))),
    ]
    async with Runtime(launches) as runtime:
        for name, cause in (("own", PluginCause.EXITED), ("late", PluginCause.LATE)):
            error = runtime.plugin(name).error
            assert error is not None
            assert error.cause is cause


def test_a_cause_has_a_code_for_programs_and_a_hint_for_people() -> None:
    for cause in PluginCause:
        assert cause.value == cause.name.lower()
        assert " " in cause.hint
    assert PluginCause.NOT_FOUND.hint in str(PluginError("kv", PluginCause.NOT_FOUND, "it is absent"))


# -- interceptors and clients -----------------------------------------------------------------------------------------


async def test_outgoing_interceptors_run_around_every_client_of_the_runtime() -> None:
    seen: list[str] = []
    outgoing = Interceptors(incoming=[Noted("incoming", seen)], outgoing=[Noted("outer", seen)])
    async with Runtime([Store()], interceptors=outgoing) as runtime:
        await runtime.client(KeyValueClient).get(GetRequest())
        await runtime.client(KeyValueClient, interceptors=[Noted("inner", seen)]).get(GetRequest())
        ((_, client),) = runtime.clients(KeyValueClient)
        await client.get(GetRequest())
    assert seen == ["outer", "outer", "inner", "outer"]


async def test_clients_gives_one_for_each_plugin_that_serves_the_service() -> None:
    async with Runtime() as runtime:
        assert runtime.clients(KeyValueClient) == []
        for name in ("b", "a"):
            await runtime.launch(Store(), name=name)
        await runtime.launch(Notes(), name="notes")
        clients = runtime.clients(KeyValueClient)
        assert [name for name, _ in clients] == ["a", "b"]
        assert [(await client.get(GetRequest())).value for _, client in clients] == [b"here", b"here"]
        assert [name for name, _ in runtime.clients(AuditClient)] == ["notes"]


# -- plugins that must run --------------------------------------------------------------------------------------------


async def test_a_required_plugin_that_does_not_run_ends_the_runtime(tmp_path: Path) -> None:
    good = Launch([kv_program(tmp_path, "good")])
    bad = Launch([script(tmp_path, "bad", "raise SystemExit('no database')")], required=True)
    runtime = Runtime([good, bad])
    with pytest.raises(PluginError, match="no database") as caught:
        await runtime.start()
    assert (caught.value.plugin, caught.value.cause) == ("bad", PluginCause.EXITED)
    assert [(plugin.state, plugin.pid) for plugin in runtime.plugins() if plugin.name == "good"] == [
        (State.STOPPED, None)
    ]


async def test_a_required_plugin_that_runs_is_as_any_other(tmp_path: Path) -> None:
    async with Runtime([Launch([kv_program(tmp_path)], required=True)]) as runtime:
        plugin = runtime.plugin("kv")
        first = plugin.pid
        await plugin.restart()
        assert plugin.pid not in (first, None)
        await plugin.disable()
        assert plugin.state is State.DISABLED


async def test_a_source_of_the_hosts_own_is_asked_when_the_runtime_starts(tmp_path: Path) -> None:
    launch = Launch([kv_program(tmp_path)])

    class Found:
        name, fingerprint = launch.name, 1

        def __init__(self) -> None:
            self.launch = launch

    class Fixed:
        watch = 0.0

        def find(self) -> list[Found]:
            return [Found()]

    async with Runtime([Fixed(), Directory(tmp_path / "absent")]) as runtime:
        assert [plugin.name for plugin in runtime.plugins()] == ["kv"]
