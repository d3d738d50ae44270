"""Providers, resolver and access control on a real runtime, over real links and a real socket."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from plugmux_proto.accesscontrol.v1 import accesscontrol_pb2 as access
from plugmux_proto.resolver.v1.resolver_connect import AuthorizerClient, ResolverClient
from plugmux_proto.resolver.v1.resolver_pb2 import AuthorizeRequest, Decision, GetSecretsRequest

from plugmux import Runtime
from plugmux.connect import Code, RpcError
from plugmux.exchange import Request, Response
from plugmux.http import SocketClient
from plugmux.secrets import (
    AccessModule,
    Outcome,
    Pattern,
    Provider,
    ProviderOutage,
    Resolver,
    Secret,
    SecretNotFound,
    secrets_services,
)
from plugmux.secrets.runtime import SecretsRuntime

VALUE = b"hunter2-\x00\xff"


class Vault(Provider):
    pattern = "vault/**"

    async def get_secrets(self, pattern: Pattern) -> AsyncIterator[Secret]:
        for name in ("a", "b"):
            if pattern.match(f"vault/{name}"):
                yield Secret(f"vault/{name}", VALUE, version="1", metadata={"owner": "us"})


class Env(Provider):
    pattern = "**"

    def get_secrets(self, pattern: Pattern) -> list[Secret]:
        return [secret for secret in [Secret("env/HOME", b"/home")] if pattern.match(secret.id)]


class Defective(Provider):
    pattern = "vault/*"

    async def get_secrets(self, pattern: Pattern) -> list[Secret]:
        raise ValueError(f"cannot parse {VALUE!r}")


class Gate(AccessModule):
    """Lets everybody at what begins with env, and notes who asked."""

    def __init__(self) -> None:
        self.asked: list[access.AuthorizeRequest | access.CheckAccessRequest] = []

    async def check_access(self, request: access.CheckAccessRequest, context: Any) -> access.CheckAccessResponse:
        self.asked.append(request)
        allowed = request.pattern.startswith("env/")
        decision = access.Decision.DECISION_ALLOW if allowed else access.Decision.DECISION_DENY
        return access.CheckAccessResponse(decision=decision)

    async def authorize(self, request: access.AuthorizeRequest, context: Any) -> access.AuthorizeResponse:
        self.asked.append(request)
        allowed = all(pattern.startswith("env/") for pattern in request.patterns)
        decision = access.Decision.DECISION_ALLOW if allowed else access.Decision.DECISION_DENY
        return access.AuthorizeResponse(decision=decision)


def listening(*plugins: Any, path: Path) -> Runtime:
    runtime = Runtime(plugins, listen=[f"unix:{path}"])
    for service in secrets_services(runtime, Resolver(runtime)):
        runtime.mount(service)
    return runtime


async def ask_with_json(client: SocketClient, pattern: str) -> Response:
    body = json.dumps({"pattern": pattern}).encode()
    path = "/resolver.v1.ResolverService/GetSecrets"
    return await client.fetch(Request(path, [(b"content-type", b"application/json")], body), 1 << 20)


async def test_a_runtime_is_all_that_a_resolver_needs() -> None:
    async with Runtime([Vault(), Env()]) as runtime:
        registry: SecretsRuntime = runtime
        secret = await Resolver(registry).get("vault/a")
        assert (secret.value, secret.provider, secret.version) == (VALUE, "Vault", "1")
        assert secret.metadata == {"owner": "us"}
        assert [found.id for found in await Resolver(runtime).get_all("vault/*")] == ["vault/a", "vault/b"]
        assert (await Resolver(runtime).get("env/HOME")).value == b"/home"
        with pytest.raises(SecretNotFound, match="asked: Env, Vault"):
            await Resolver(runtime).get("vault/c")


async def test_a_defect_of_a_provider_is_an_outage_that_tells_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    async with Runtime([Defective(), Vault()]) as runtime:
        assert (await Resolver(runtime).get("vault/a")).provider == "Vault"
        assert "provider Defective is skipped for vault/a: internal" in caplog.text
        with pytest.raises(ProviderOutage, match="Defective: internal") as caught:
            await Resolver(runtime, strict=True).get("vault/a")
    assert "hunter2" not in str(caught.value)


async def test_no_log_of_any_layer_holds_a_value(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.DEBUG):
        async with listening(Vault(), path=tmp_path / "s") as runtime:
            await Resolver(runtime).get("vault/a")
            await Resolver(runtime).explain("vault/*")
            response = await ask_with_json(SocketClient(runtime.addresses[0]), "vault/a")
    assert response.status == 200
    logged = caplog.text + "".join(repr(record.args) + repr(record.__dict__) for record in caplog.records)
    assert "hunter2" not in logged
    assert base64.b64encode(VALUE).decode() not in logged


async def test_a_plain_http_client_asks_the_socket(tmp_path: Path) -> None:
    async with listening(Vault(), Env(), path=tmp_path / "s") as runtime:
        client = SocketClient(runtime.addresses[0])
        response = await ask_with_json(client, "vault/*")
        assert response.status == 200
        envelopes = json.loads(response.body)["envelopes"]
        assert [(each["id"], base64.b64decode(each["value"]), each["provider"]) for each in envelopes] == [
            ("vault/a", VALUE, "Vault"),
            ("vault/b", VALUE, "Vault"),
        ]
        for pattern, status, code in (("vault/c", 404, "not_found"), ("vault//c", 400, "invalid_argument")):
            response = await ask_with_json(client, pattern)
            assert (response.status, json.loads(response.body)["code"]) == (status, code)


async def test_the_generated_clients_ask_the_socket(tmp_path: Path) -> None:
    async with listening(Vault(), path=tmp_path / "s") as runtime:
        client = SocketClient(runtime.addresses[0])
        response = await ResolverClient(client).get_secrets(GetSecretsRequest(pattern="vault/a"))
        assert Secret.from_envelope(response.envelopes[0]).value == VALUE
        leave = await AuthorizerClient(client).authorize(AuthorizeRequest(patterns=["vault/a"]))
        assert leave.decision == Decision.DECISION_ALLOW


async def test_an_access_control_plugin_guards_the_socket_and_not_the_host(tmp_path: Path) -> None:
    gate = Gate()
    async with listening(Vault(), Env(), gate, path=tmp_path / "s") as runtime:
        client = SocketClient(runtime.addresses[0])
        resolver, authorizer = ResolverClient(client), AuthorizerClient(client)
        assert (await resolver.get_secrets(GetSecretsRequest(pattern="env/HOME"))).envelopes[0].value == b"/home"
        with pytest.raises(RpcError, match="access to vault/a is denied") as caught:
            await resolver.get_secrets(GetSecretsRequest(pattern="vault/a"))
        assert caught.value.code is Code.PERMISSION_DENIED
        leave = await authorizer.authorize(AuthorizeRequest(patterns=["env/HOME", "vault/a"]))
        assert leave.decision == Decision.DECISION_DENY
        assert (await Resolver(runtime).get("vault/a")).value == VALUE
        assert all(request.requester.name.startswith("python") for request in gate.asked)
        explanation = await Resolver(runtime).explain("vault/a")
        assert {each.plugin: each.outcome for each in explanation.accounts}["Gate"] is Outcome.SKIPPED


async def test_a_client_cannot_reach_a_provider_past_access_control(tmp_path: Path) -> None:
    async with listening(Vault(), Gate(), path=tmp_path / "s") as runtime:
        named = ResolverClient(SocketClient(runtime.addresses[0]), headers={"plugmux-plugin": "Vault"})
        with pytest.raises(RpcError) as caught:
            await named.get_secrets(GetSecretsRequest(pattern="vault/a"))
        assert caught.value.code is Code.PERMISSION_DENIED


async def test_without_the_mounted_services_the_socket_gives_no_secrets(tmp_path: Path) -> None:
    async with Runtime([Vault()], listen=[f"unix:{tmp_path / 's'}"]) as runtime:
        for headers in ({}, {"plugmux-plugin": "Vault"}):
            client = ResolverClient(SocketClient(runtime.addresses[0]), headers=headers)
            with pytest.raises(RpcError) as caught:
                await client.get_secrets(GetSecretsRequest(pattern="vault/a"))
            assert caught.value.code is Code.UNAVAILABLE
