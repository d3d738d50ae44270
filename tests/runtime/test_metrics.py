"""`GET /metrics`: what a runtime tells Prometheus, and to whom."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from plugmux import Permissions, RpcError, Runtime
from plugmux.exchange import Request
from plugmux.http import SocketClient
from plugmux.runtime.inspect.exposition import Family, exposition
from plugmux.runtime.inspect.metrics import BOUNDS, MAX_SERIES
from plugmux.runtime.socket.policy import Policy
from support.programs import kv_program

KV = {"caller": "", "callee": "kv", "method": "kv.v1.KeyValueService/Put"}


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with Runtime([kv_program(tmp_path)], listen=[f"unix:{tmp_path}/private/runtime.sock"]) as runtime:
        yield runtime


async def get(runtime: Runtime, path: str = "/metrics", method: str = "GET") -> tuple[int, str]:
    response = await SocketClient(runtime.addresses[0]).fetch(Request(path, method=method), 1 << 22)
    return response.status, response.body.decode()


async def scrape(runtime: Runtime) -> dict[str, Metric]:
    status, text = await get(runtime)
    assert status == 200, text
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(family: Metric, suffix: str = "", **labels: str) -> float:
    (found,) = (
        sample.value
        for sample in family.samples
        if sample.name.endswith(suffix) and labels.items() <= sample.labels.items()
    )
    return float(found)


async def test_the_states_of_plugins_are_told_from_the_first_scrape_on(runtime: Runtime) -> None:
    await runtime.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))
    told = await scrape(runtime)
    assert value(told["plugmux_plugin_up"], plugin="kv", replica="0") == 1
    assert value(told["plugmux_plugin_healthy"], plugin="kv") == 1
    assert value(told["plugmux_plugin_circuit_state"], plugin="kv", state="closed") == 1
    assert value(told["plugmux_plugin_circuit_state"], plugin="kv", state="open") == 0
    assert value(told["plugmux_plugin_restarts"], plugin="kv") == 0
    assert value(told["plugmux_plugin_calls"], plugin="kv") == 1
    assert value(told["plugmux_plugin_calls_in_flight"], plugin="kv") == 0
    assert value(told["plugmux_plugin_memory_bytes"], plugin="kv") > 1 << 20
    assert value(told["plugmux_runtime_info"]) == 1
    assert "plugmux_call_duration_seconds" not in told


async def test_calls_are_counted_and_timed_from_the_first_scrape_on(runtime: Runtime) -> None:
    kv = runtime.client(KeyValueClient)
    await scrape(runtime)
    for _ in range(3):
        await kv.put(PutRequest(key="a", value=b"1"))
    with pytest.raises(RpcError):
        await kv.get(GetRequest(key="missing"))
    told = await scrape(runtime)
    durations, errors = told["plugmux_call_duration_seconds"], told["plugmux_call_errors"]
    assert value(durations, "_count", **KV) == 3
    assert value(durations, "_sum", **KV) > 0
    buckets = [
        (float(sample.labels["le"]), sample.value)
        for sample in durations.samples
        if sample.name.endswith("_bucket") and KV.items() <= sample.labels.items()
    ]
    assert [bound for bound, _ in buckets] == [*BOUNDS, math.inf]
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert buckets[-1][1] == 3
    assert value(errors, method="kv.v1.KeyValueService/Get", code="not_found") == 1


async def test_every_call_is_timed_for_those_who_scrape_however_many_there_are(runtime: Runtime) -> None:
    await scrape(runtime)
    observer = runtime.transport.registry.call_observer
    assert observer is not None
    for _ in range(3):
        await runtime.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))
        for sums in observer.methods.values():
            sums.calls_before -= 1_000_000  # as if so many others had ended
        observer._ended_before -= 1_000_000
        observer.adjust_at = observer.clock()
    told = await scrape(runtime)
    assert value(told["plugmux_call_duration_seconds"], "_count", **KV) == 3


async def test_a_restart_shows(runtime: Runtime) -> None:
    await runtime.restart("kv")
    told = await scrape(runtime)
    assert value(told["plugmux_plugin_up"], plugin="kv") == 1
    await runtime.disable("kv")
    told = await scrape(runtime)
    assert value(told["plugmux_plugin_up"], plugin="kv") == 0
    assert "plugmux_plugin_streams" not in told


async def test_the_series_of_methods_are_bounded(runtime: Runtime) -> None:
    await scrape(runtime)
    for number in range(MAX_SERIES + 20):
        status, _ = await get(runtime, f"/no.v1.Such{number}Service/Get", "POST")
        assert status == 503
    told = await scrape(runtime)
    counts = [sample for sample in told["plugmux_call_duration_seconds"].samples if sample.name.endswith("_count")]
    assert len(counts) <= MAX_SERIES + 1


async def test_only_get_is_taken(runtime: Runtime) -> None:
    status, text = await get(runtime, method="POST")
    assert (status, text) == (405, "/metrics takes GET")


async def test_a_socket_that_is_not_for_observing_gives_no_metrics(tmp_path: Path) -> None:
    async with Runtime([], listen=[f"unix:{tmp_path}/private/s"], permissions=Permissions(socket=["calls"])) as runtime:
        status, text = await get(runtime)
    assert status == 403
    assert "Permissions.socket" in text


def test_label_values_cannot_break_out_of_their_line() -> None:
    family = Family("x_total", "counter", "A test.")
    hostile = 'a"} 1\ny_total{b="\\'
    family.add((("name", hostile),), 1)
    (parsed,) = text_string_to_metric_families(exposition([family]).decode())
    (sample,) = parsed.samples
    assert sample.labels == {"name": hostile}
    family.add((("name", "x" * 5000),), 2.5)
    assert len(exposition([family])) < 1000


def test_over_a_network_only_who_may_observe_may_read_them() -> None:
    policy = Policy({"calls.example": ["*"], "prometheus.example": ["observe"]})
    assert policy.of("prometheus.example").may_call("/metrics")
    assert not policy.of("calls.example").may_call("/metrics")
