"""No value reaches a trace, whether a call succeeds or fails."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from plugmux_proto.resolver.v1.resolver_connect import ResolverClient
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsRequest

from plugmux.connect import App, RpcError
from plugmux.connect.tracing import ClientTracing, ServerTracing
from plugmux.secrets import Pattern, Provider, Secret
from support.app_transport import AppTransport


class Vault(Provider):
    pattern = "vault/**"

    async def get_secrets(self, pattern: Pattern) -> list[Secret]:
        if pattern.text == "vault/defect":
            raise ValueError("cannot parse hunter2")
        return [Secret("vault/a", b"hunter2")]


async def test_spans_of_both_ends_tell_of_the_call_and_of_no_value() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    app = App(Vault().plugmux_services(), interceptors=[ServerTracing(tracer)])
    client = ResolverClient(AppTransport(app), interceptors=[ClientTracing(tracer)])
    assert (await client.get_secrets(GetSecretsRequest(pattern="vault/a"))).envelopes[0].value == b"hunter2"
    with pytest.raises(RpcError, match="internal"):
        await client.get_secrets(GetSecretsRequest(pattern="vault/defect"))
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["resolver.v1.ResolverService/GetSecrets"] * 4
    assert "hunter2" not in "".join(span.to_json() for span in spans)
