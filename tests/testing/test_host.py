"""A runtime around a plugin of this process, and what is seen of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, GetResponse, PutRequest, WatchRequest

from plugmux import Plugin, PluginError, RestartPolicy
from plugmux.connect import Code, Context, Interceptor, RpcError
from plugmux.connect.interceptor import UnaryNext
from plugmux.plugin import Configured, Instances, LogHandler
from plugmux.runtime import Interceptors, State
from plugmux.testing import ExpectedCall, launch_plugin, plugin_host
from support.kv_store import Audit, Store, kv_plugin
from support.tools import ROOT


async def test_a_plugin_is_called_in_this_process() -> None:
    async with plugin_host(kv_plugin(a=b"1")) as host:
        assert host.plugin.state is State.RUNNING
        assert host.plugin.pid is None
        assert (await host.client(KeyValueClient).get(GetRequest(key="a"))).value == b"1"
        host.assert_calls(ExpectedCall("Get", GetRequest(key="a"), GetResponse(value=b"1")))


async def test_it_calls_services_of_its_host() -> None:
    async with plugin_host(kv_plugin(), services=[Audit()]) as host:
        await host.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))
        host.assert_calls("KeyValueService/Put", "kv.v1.AuditService/Record")
        host.assert_calls("Record", direction="to_host")


async def test_streams_and_errors_are_captured() -> None:
    async with plugin_host(kv_plugin()) as host:
        kv = host.client(KeyValueClient)
        assert [response.value async for response in kv.watch(WatchRequest(key="a"))] == [b"1", b"2", b"3"]
        with pytest.raises(RpcError):
            await kv.get(GetRequest(key="none"))
        host.assert_calls("Watch", ExpectedCall("Get", code=Code.NOT_FOUND))
        assert [response.value for response in host.calls[0].responses] == [b"1", b"2", b"3"]


async def test_calls_of_any_client_of_the_runtime_are_captured_beside_the_interceptors_of_the_test() -> None:
    seen: list[str] = []

    class Note(Interceptor):
        async def unary(self, request: object, context: Context, next: UnaryNext) -> object:
            seen.append(context.method.name)
            return await next(request, context)

    async with plugin_host(kv_plugin(), services=[Audit()], interceptors=Interceptors(outgoing=[Note()])) as host:
        await host.runtime.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))
        host.assert_calls("Put", "Record")
    assert seen == ["Put"]


@dataclass
class Settings:
    region: str


async def test_configuration_reaches_it_and_may_change() -> None:
    configured = Configured(Settings, on_change=lambda settings: None)
    plugin = Plugin(Store(), name="kv", configuration=configured)
    async with plugin_host(plugin, configuration=Settings("north")) as host:
        assert configured.value == Settings("north")
        await host.configure(Settings("south"))
        assert configured.value == Settings("south")


async def test_a_wrong_configuration_is_refused_with_the_path_of_its_fault() -> None:
    plugin = Plugin(Store(), name="kv", configuration=Configured(Settings))
    with pytest.raises(PluginError, match="region"):
        async with plugin_host(plugin, configuration={"region": 1}):
            pass


async def test_instances_are_opened() -> None:
    plugin = Plugin(Instances(lambda settings: Store(region=settings.region.encode()), Settings, serves=[Store]))
    async with plugin_host(plugin, name="kv") as host, await host.open_instance(Settings("north")) as instance:
        assert (await instance.client(KeyValueClient).get(GetRequest(key="region"))).value == b"north"


async def test_logs_and_events_are_kept() -> None:
    plugin = kv_plugin()
    logger = logging.getLogger("tests.testing.kv")
    handler = LogHandler(plugin)
    logger.addHandler(handler)
    try:
        async with plugin_host(plugin) as host:
            logger.error("something is wrong")
            while "something is wrong" not in [entry.message for entry in host.logs]:
                await asyncio.sleep(0)
    finally:
        logger.removeHandler(handler)
    states = [event.state for event in host.events]
    assert states[:3] == [State.STARTING, State.REGISTERING, State.RUNNING]
    assert states[-1] is State.STOPPED


async def test_a_plugin_object_is_used_again_after_its_end() -> None:
    plugin = kv_plugin(a=b"1")
    for _ in range(2):
        async with plugin_host(plugin) as host:
            assert (await host.client(KeyValueClient).get(GetRequest(key="a"))).value == b"1"
            await host.restart()
            assert (await host.client(KeyValueClient).get(GetRequest(key="a"))).value == b"1"


async def test_what_a_plugin_raises_at_its_start_is_told() -> None:
    class Broken:
        def __init__(self, plugin: Plugin) -> None: ...

        async def __aenter__(self) -> None:
            raise ZeroDivisionError("no numbers are left")

        async def __aexit__(self, *args: object) -> None: ...

    with pytest.raises(PluginError) as caught:
        async with plugin_host(Plugin(Store(), name="kv", lifespan=Broken)):
            pass
    assert "no numbers are left" in str(caught.value)


async def test_a_plugin_that_loses_its_link_is_started_again_where_the_test_says_so() -> None:
    restart = RestartPolicy(delay=0, longest_delay=0)
    async with plugin_host(kv_plugin(a=b"1"), restart=restart) as host:
        host.faults.cut()
        while host.plugin.restarts < 1 or host.plugin.state is not State.RUNNING:
            await host.plugin.changed()
        assert (await host.client(KeyValueClient).get(GetRequest(key="a"))).value == b"1"


async def test_a_process_is_launched_in_the_same_way() -> None:
    program = str(ROOT / "examples/python-plugin/python-plugin")
    async with launch_plugin(program) as host:
        kv = host.client(KeyValueClient)
        await kv.put(PutRequest(key="a", value=b"1"))
        assert (await kv.get(GetRequest(key="a"))).value == b"1"
        host.assert_calls("Put", "Get")
        assert host.plugin.pid is not None


async def test_a_process_that_does_not_start_raises() -> None:
    with pytest.raises(PluginError, match="no program"):
        async with launch_plugin("./no-such-plugin"):
            pass
