"""Metrics of calls, read from the SDK's in-memory reader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from echo.v1.echo_connect import EchoClient, EchoService
from echo.v1.echo_pb2 import CountRequest, CountResponse, SayRequest, SayResponse
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import PutRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from memory import MemoryTransport
from plugmux import Code, RpcError, Runtime
from plugmux.connect import App
from plugmux.connect.metrics import BUCKET_BOUNDS, ClientMetrics, ServerMetrics
from plugmux.runtime import Interceptors
from plugmux.runtime.inspect.telemetry import observe_plugins
from support.programs import kv_program

SAY = "echo.v1.EchoService/Say"


class Echo(EchoService):
    async def say(self, request: SayRequest, context: Any) -> SayResponse:
        if request.text == "missing":
            raise RpcError(Code.NOT_FOUND, "private")
        if request.text == "broken":
            raise RuntimeError("private")
        return SayResponse(text=request.text)

    async def count(self, request: CountRequest, context: Any) -> Any:
        for number in range(request.to):
            yield CountResponse(number=number)


class Read:
    """What the SDK has collected: points by the metric's name."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meter = MeterProvider([self.reader]).get_meter("test")

    def points(self, name: str, **attributes: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
            if attributes.items() <= dict(point.attributes or {}).items()
        ]


async def test_calls_are_counted_and_timed_on_both_ends() -> None:
    read = Read()
    times = iter(range(1000))
    clock = lambda: float(next(times))  # noqa: E731 -- one second passes between two looks
    app = App([Echo()], interceptors=[ServerMetrics(read.meter, clock=clock)])
    client = EchoClient(MemoryTransport(app), interceptors=[ClientMetrics(read.meter, clock=clock)])
    await client.say(SayRequest())
    assert [reply.number async for reply in client.count(CountRequest(to=2))] == [0, 1]
    for text in ("missing", "broken"):
        with pytest.raises(RpcError):
            await client.say(SayRequest(text=text))
    for end, seconds in (("client", 3.0), ("server", 1.0)):
        said = {"rpc.system.name": "connectrpc", "rpc.method": SAY}
        points = read.points(f"rpc.{end}.call.duration", **{"rpc.method": SAY})
        assert {point.count for point in points} == {1}
        assert {point.sum for point in points} == {seconds}
        assert points[0].explicit_bounds == BUCKET_BOUNDS
        assert dict(points[0].attributes) == said
        outcomes = [{**point.attributes} for point in points[1:]]
        if end == "client":
            assert outcomes[0] == said | {"rpc.response.status_code": "not_found", "error.type": "not_found"}
            assert outcomes[1] == said | {"rpc.response.status_code": "internal", "error.type": "internal"}
        else:
            assert outcomes[0] == said | {"rpc.response.status_code": "not_found"}
            assert outcomes[1] == said | {"error.type": "RuntimeError"}
        (streamed,) = read.points(f"rpc.{end}.call.duration", **{"rpc.method": "echo.v1.EchoService/Count"})
        assert streamed.count == 1
        assert {point.value for point in read.points(f"plugmux.{end}.active_calls")} == {0}


async def test_a_stream_that_is_left_counts_as_canceled() -> None:
    read = Read()
    app = App([Echo()])
    client = EchoClient(MemoryTransport(app), interceptors=[ClientMetrics(read.meter)])
    async with client.count(CountRequest(to=1000)) as replies:
        await anext(replies)
        (active,) = read.points("plugmux.client.active_calls")
        assert active.value == 1
    (point,) = read.points("rpc.client.call.duration")
    assert point.attributes["rpc.response.status_code"] == "canceled"
    assert point.attributes["error.type"] == "canceled"
    (active,) = read.points("plugmux.client.active_calls")
    assert active.value == 0


async def test_the_plugins_of_a_runtime_are_observed(tmp_path: Path) -> None:
    read = Read()
    kv_plugin = kv_program(tmp_path)
    interceptors = Interceptors(outgoing=[ClientMetrics(read.meter)])
    async with Runtime([kv_plugin], interceptors=interceptors) as runtime:
        observe_plugins(runtime, read.meter)
        await runtime.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))
        told = {
            name: read.points(f"plugmux.plugin.{name}", **{"plugmux.plugin.name": "kv"})[0].value
            for name in ("up", "circuit", "restarts", "in_flight", "streams")
        }
        assert told.pop("streams") in (0, 1)  # That of the call may just be ending.
        assert told == {"up": 1, "circuit": 0, "restarts": 0, "in_flight": 0}
        (point,) = read.points("rpc.client.call.duration", **{"rpc.method": "kv.v1.KeyValueService/Put"})
        assert point.count == 1
        await runtime.disable("kv")
        assert read.points("plugmux.plugin.up")[0].value == 0
    assert read.points("plugmux.plugin.up")[0].value == 0


COUNTED = """
import asyncio, sys
sys.path[:0] = {path!r}
from echo.v1.echo_connect import EchoClient, EchoService
from echo.v1.echo_pb2 import SayRequest, SayResponse
from memory import MemoryTransport
from plugmux.connect import App
{more}

class Echo(EchoService):
    async def say(self, request, context):
        return SayResponse(text=request.text)

async def main():
    client = EchoClient(MemoryTransport(App([Echo()])))
    for _ in range(3):
        await client.say(SayRequest(text="a"))
    count = 0
    def trace(frame, event, argument):
        nonlocal count
        frame.f_trace_opcodes = True
        count += 1  # Each instruction, and each line, call and return: Python 3.12.1 does not tell of instructions.
        return trace
    sys.settrace(trace)
    for _ in range(10):
        await client.say(SayRequest(text="a"))
    sys.settrace(None)
    print(count)

asyncio.run(main())
"""


def test_a_program_without_the_interceptors_executes_no_instruction_more() -> None:
    def instructions(more: str) -> int:
        source = COUNTED.format(path=[path for path in sys.path if path], more=more)
        return int(subprocess.run([sys.executable, "-c", source], capture_output=True, check=True).stdout)

    without = instructions("")
    assert without > 1000
    assert instructions("import plugmux.connect.metrics, plugmux.runtime.inspect.telemetry") == without
