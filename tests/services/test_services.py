"""The services that any app can mount: health checking and reflection; and tracing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from echo.v1.echo_connect import EchoClient
from echo.v1.echo_pb2 import CountRequest, SayRequest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from memory import MemoryTransport
from plugmux.connect import App, Client, Code, RpcError
from plugmux.connect.tracing import ClientTracing, ServerTracing
from plugmux.services.health import HealthCheckRequest, HealthCheckResponse, HealthService
from plugmux.services.reflection import ReflectionService, ServerReflectionRequest
from test_calls import Echo


class HealthClient(Client):
    spec = HealthService.spec


async def test_health_is_checked_and_watched() -> None:
    health = HealthService("echo.v1.EchoService")
    client = HealthClient(MemoryTransport(App([health])))
    check, watch = health.spec.methods
    for name, status in (("", 1), ("echo.v1.EchoService", 1)):
        assert (await client._unary(check, HealthCheckRequest(service=name), None, None, None)).status == status
    with pytest.raises(RpcError) as caught:
        await client._unary(check, HealthCheckRequest(service="other"), None, None, None)
    assert caught.value.code is Code.NOT_FOUND
    async with client._server_stream(watch, HealthCheckRequest(service="other"), None, None, None) as stream:
        seen = [(await anext(stream)).status]
        for serving in (True, True, False):
            health.set("other", serving)
            if serving and len(seen) > 1:
                continue
            seen.append((await anext(stream)).status)
    assert seen == [
        HealthCheckResponse.SERVICE_UNKNOWN,
        HealthCheckResponse.SERVING,
        HealthCheckResponse.NOT_SERVING,
    ]


async def reflect(**question: Any) -> Any:
    class ReflectionClient(Client):
        spec = ReflectionService.spec

    echo = Echo()
    client = ReflectionClient(MemoryTransport(App([echo, ReflectionService([echo, HealthService()])])))
    async with client._bidi_stream(client.spec.methods[0], None, None, None) as call:
        await call.send(ServerReflectionRequest(**question))
        return await anext(call)


async def test_reflection_lists_services_and_gives_their_files() -> None:
    listed = await reflect(list_services="*")
    assert [service.name for service in listed.list_services_response.service] == [
        "echo.v1.EchoService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ]
    for question in (
        {"file_containing_symbol": "echo.v1.EchoService"},
        {"file_containing_symbol": "echo.v1.EchoService.Say"},
        {"file_by_filename": "echo/v1/echo.proto"},
    ):
        reply = await reflect(**question)
        files = [FileDescriptorProto.FromString(f) for f in reply.file_descriptor_response.file_descriptor_proto]
        assert [file.name for file in files] == ["echo/v1/echo.proto"]
    reply = await reflect(file_containing_symbol="grpc.health.v1.Health")
    assert reply.file_descriptor_response.file_descriptor_proto
    reply = await reflect(all_extension_numbers_of_type="echo.v1.SayRequest")
    assert reply.all_extension_numbers_response.base_type_name == "echo.v1.SayRequest"


@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": "no/such.proto"},
        {"file_containing_symbol": "no.Such"},
        {"all_extension_numbers_of_type": "no.Such"},
        {"file_containing_extension": {"containing_type": "echo.v1.SayRequest", "extension_number": 5}},
        {},
    ],
)
async def test_reflection_says_what_it_does_not_know(question: dict[str, Any]) -> None:
    assert (await reflect(**question)).error_response.error_code == 5


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_a_process_may_import_grpcs_own_health_and_reflection_too(first: str) -> None:
    ours = "import plugmux.services.health, plugmux.services.reflection"
    theirs = "import grpc_health.v1.health_pb2, grpc_reflection.v1alpha.reflection_pb2"
    lines = [ours, theirs] if first == "ours" else [theirs, ours]
    path = str(Path(__file__).parents[2] / "py")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join(lines)],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([path, *sys.path])},
    )


async def test_a_call_is_traced_on_both_ends_and_the_spans_are_joined() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    app = App([Echo()], interceptors=[ServerTracing(tracer)])
    client = EchoClient(MemoryTransport(app), interceptors=[ClientTracing(tracer)])
    await client.say(SayRequest())
    assert [reply.number async for reply in client.count(CountRequest(to=2))] == [1, 2]
    for text in ("missing", "broken"):
        with pytest.raises(RpcError):
            await client.say(SayRequest(text=text))
    spans = exporter.get_finished_spans()
    assert len(spans) == 8
    for server, caller in zip(spans[::2], spans[1::2], strict=True):
        assert server.parent is not None
        assert server.parent.span_id == caller.context.span_id
        assert (server.kind.name, caller.kind.name) == ("SERVER", "CLIENT")
    assert spans[0].name == "echo.v1.EchoService/Say"
    assert dict(spans[0].attributes or {}) == {
        "rpc.system.name": "connectrpc",
        "rpc.method": "echo.v1.EchoService/Say",
    }
    assert (spans[5].attributes or {})["rpc.response.status_code"] == "not_found"
    assert (spans[6].attributes or {})["error.type"] == "RuntimeError"
    assert "private" not in "".join(span.to_json() for span in spans)
