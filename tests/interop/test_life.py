"""What the plugins of every language tell of themselves: health, stacks, log; and what becomes of one that hangs."""

from __future__ import annotations

import os
import signal
from contextlib import aclosing
from dataclasses import replace

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest
from plugmux_proto.plugmux.v1.diagnostics_connect import DiagnosticsClient
from plugmux_proto.plugmux.v1.diagnostics_pb2 import DumpRequest

from plugmux import Launch, Policies, RestartPolicy, Runtime
from plugmux.connect import Code, RpcError
from plugmux.exchange import Request
from plugmux.runtime import HealthPolicy, LogEntry, LogSource
from plugmux.services.health import HealthCheckRequest, HealthCheckResponse, HealthClient
from support.tools import LANGUAGES, example_plugin

ENDING = HealthPolicy(interval=0.1, timeout=0.2, hung_after=1, on_hang="restart")


@pytest.fixture(params=LANGUAGES)
def launch(request: pytest.FixtureRequest) -> Launch:
    """The example plugin of a language, built."""
    return Launch(example_plugin(request.param), name="kv", timeout=20, restart=RestartPolicy(delay=0.01))


async def said(runtime: Runtime, text: str) -> LogEntry:
    """The first line of the plugin's log with this text."""
    async with aclosing(runtime.follow_logs("kv")) as entries:
        async for entry in entries:
            if text in entry.message:
                return entry
    raise AssertionError(f"nothing said {text!r}")


async def test_it_may_have_any_time_to_register(launch: Launch) -> None:
    async with Runtime([replace(launch, timeout=float("inf"))]) as runtime:
        assert runtime.plugin("kv").error is None


async def test_it_serves_grpc_health_for_itself_and_for_its_services(launch: Launch) -> None:
    async with Runtime([launch]) as runtime:
        health = runtime.client(HealthClient, plugin="kv")
        for service in ("", "kv.v1.KeyValueService"):
            answer = await health.check(HealthCheckRequest(service=service))
            assert answer.status == HealthCheckResponse.SERVING
        with pytest.raises(RpcError) as caught:
            await health.check(HealthCheckRequest(service="no.Such"))
        assert caught.value.code is Code.NOT_FOUND
        async with health.watch(HealthCheckRequest(service="no.Such")) as statuses:
            assert (await anext(aiter(statuses))).status == HealthCheckResponse.SERVICE_UNKNOWN
        link = runtime.plugin("kv").link
        assert link is not None
        response = await link.transport.fetch(Request("/health", method="GET"), 100)
        assert (response.status, response.body) == (200, b"ok")


async def test_it_dumps_what_it_is_doing(launch: Launch) -> None:
    async with Runtime([launch]) as runtime:
        dump = await runtime.client(DiagnosticsClient, plugin="kv").dump(DumpRequest())
        assert len(dump.text.splitlines()) > 3


async def test_its_log_records_come_with_level_and_fields(launch: Launch) -> None:
    async with Runtime([launch]) as runtime:
        await runtime.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))
        entry = await said(runtime, "put")
        assert entry.source is LogSource.LOG
        assert entry.fields["key"] == "a"


async def test_one_that_hangs_is_told_of_ended_and_started_again(launch: Launch) -> None:
    async with Runtime([launch], policies=Policies(health=ENDING)) as runtime:
        plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        before = plugin.pid
        assert before is not None
        os.kill(before, signal.SIGSTOP)
        await said(runtime, "it is stopped, as by SIGSTOP")
        with pytest.raises(RpcError) as caught:
            await kv.get(GetRequest(key="absent"), timeout=20)
        assert caught.value.code in (Code.UNAVAILABLE, Code.NOT_FOUND)
        while plugin.restarts == 0 or not plugin.ready:
            await plugin.changed()
        assert plugin.pid != before
