"""Plugins that a runner starts elsewhere: they get the launch configuration alone, join their runtime, and are called.

`sh` stands for the shell of another machine: it has no variable of the runtime's and reads its stdin, as with ssh.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest
from plugmux_proto.plugmux.v1.join_connect import JoinClient
from plugmux_proto.plugmux.v1.join_pb2 import GetAuthorityRequest, JoinRequest

from plugmux import Launch, Policies, RestartPolicy, Runtime
from plugmux.aio.broadcast import Broadcast
from plugmux.connect import Code, RpcError
from plugmux.contract.launch import LaunchConfig
from plugmux.errors import ConfigError, PluginError
from plugmux.link.client import NetworkClient
from plugmux.network import listener
from plugmux.network.description import x509_module
from plugmux.network.remote_end import RemoteEnd
from plugmux.network.tls import TLS, unverified_context
from plugmux.network.tokens import JoinTokens, TokenRefused
from plugmux.plugin.dial import DialError
from plugmux.plugin.join import Joined, _join, _signing_request
from plugmux.runners import JoinPoint, RemoteRunner
from plugmux.runners.joining import Joining
from plugmux.runtime import State
from plugmux.runtime.events import EventKind
from plugmux.runtime.logs.log import PluginLog
from support.joining import ELSEWHERE, elsewhere
from support.tools import LANGUAGES


@pytest.fixture
def point() -> JoinPoint:
    return JoinPoint("tls://127.0.0.1:0")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_joins_and_is_called(language: str, point: JoinPoint) -> None:
    async with Runtime([elsewhere(language, point)]) as runtime:
        kv = runtime.client(KeyValueClient)
        await kv.put(PutRequest(key="a", value=b"\x00\xff" * 50_000))
        assert (await kv.get(GetRequest(key="a"))).value == b"\x00\xff" * 50_000
        peer = runtime.plugin("kv").peer
        assert peer is not None
        assert peer.identity.startswith("spiffe://plugmux/launch/")
        assert peer.identity.endswith("/kv")
        await runtime.restart("kv")  # with a token of its own
        await kv.put(PutRequest(key="a", value=b"2"))
        assert (await kv.get(GetRequest(key="a"))).value == b"2"
    assert point._listener is None  # It listens no longer than there are plugins.


async def test_replicas_have_identities_of_their_own(point: JoinPoint) -> None:
    async with Runtime([elsewhere("go", point, replicas=2)]) as runtime:
        peers = [plugin.peer for plugin in runtime.plugins()]
        assert all(plugin.state is State.RUNNING for plugin in runtime.plugins())
        assert len({peer.identity for peer in peers if peer is not None}) == 2


# -- what is refused --------------------------------------------------------------------------------------------------


class Refusals:
    """What a join point tells of what it has refused."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.log = PluginLog("kv", Broadcast(), lambda name, why: self.told.append(why))


@pytest.fixture
def refusals() -> Refusals:
    return Refusals()


@pytest.fixture
async def joining(point: JoinPoint, refusals: Refusals) -> AsyncIterator[Joining]:
    joining = await point.expect("kv", 5, refusals.log)
    yield joining
    await joining.close()


def stranger(point: JoinPoint) -> JoinClient:
    """A client without a certificate."""
    return JoinClient(NetworkClient(point.address, None, context=unverified_context(), expect=lambda end: None))


def with_certificate(point: JoinPoint, tls: TLS) -> JoinClient:
    return JoinClient(NetworkClient(point.address, tls, expect=lambda end: None))


async def refused(client: JoinClient, request: JoinRequest) -> tuple[Code, str]:
    with pytest.raises(RpcError) as caught:
        await client.join(request)
    return caught.value.code, caught.value.message


def request_naming(name: str) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    x509 = x509_module()
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://plugmux/{name}")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, False)
    made: bytes = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.DER)
    return made


async def test_a_token_works_once(point: JoinPoint, joining: Joining, refusals: Refusals) -> None:
    await _join(point.address, joining.config)
    with pytest.raises(DialError, match="this join token has been used: start the plugin anew") as caught:
        await _join(point.address, joining.config)
    assert joining.config.token not in str(caught.value)
    (told,) = refusals.told
    assert told.startswith("no certificate for 127.0.0.1:")
    assert "has been used" in told
    assert joining.config.token not in told


async def test_a_second_use_is_an_event_of_the_runtime(point: JoinPoint, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[LaunchConfig] = []
    expect = JoinPoint.expect

    async def remember(self: JoinPoint, *arguments: Any) -> Joining:
        joining = await expect(self, *arguments)
        configs.append(joining.config)
        return joining

    monkeypatch.setattr(JoinPoint, "expect", remember)
    async with Runtime([elsewhere("go", point)]) as runtime:
        events = runtime.events()
        reading = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        with pytest.raises(DialError, match="has been used"):
            await _join(point.address, configs[0])
        event = await asyncio.wait_for(reading, 60)
        assert (event.kind, event.plugin) == (EventKind.REFUSED, "kv")
        assert "has been used" in event.status
        assert any("has been used" in entry.message for entry in runtime.logs("kv"))
        assert runtime.plugin("kv").state is State.RUNNING
        await events.aclose()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_whose_token_was_stolen_and_used_does_not_start_and_says_so(
    language: str, point: JoinPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect = JoinPoint.expect

    async def steal(self: JoinPoint, *arguments: Any) -> Joining:
        joining = await expect(self, *arguments)
        await _join(point.address, joining.config)
        return joining

    monkeypatch.setattr(JoinPoint, "expect", steal)
    async with Runtime([elsewhere(language, point)], policies=Policies(restart=RestartPolicy(tries=0))) as runtime:
        plugin = runtime.plugin("kv")
        assert not plugin.ready
        told = [entry.message for entry in runtime.logs("kv") if "has been used" in entry.message]
        assert any(line.startswith("no certificate for 127.0.0.1:") for line in told)  # by the runtime,
        assert any("gave this plugin no certificate" in line for line in told)  # and by the plugin.


async def test_a_wrong_token_is_refused(point: JoinPoint, joining: Joining) -> None:
    wrong = replace(joining.config, token="x" * 43)
    with pytest.raises(DialError, match="no such join token"):
        await _join(point.address, wrong)
    await _join(point.address, joining.config)  # The right one has not been spent.


async def test_a_token_ends_with_its_time() -> None:
    now = 1000.0
    tokens = JoinTokens(lambda: now)
    token = tokens.issue("a", 65)
    now += 65
    with pytest.raises(TokenRefused, match="this join token was valid until 1970-01-01T00:17:45Z") as caught:
        tokens.redeem(token)
    assert caught.value.holder == "a"
    assert token not in repr(tokens)


async def test_an_expired_token_gets_no_certificate(point: JoinPoint, refusals: Refusals) -> None:
    now = 1000.0
    point._tokens = JoinTokens(lambda: now)
    joining = await point.expect("kv", 5, refusals.log)
    try:
        now += 65
        with pytest.raises(DialError, match="this join token was valid until"):
            await _join(point.address, joining.config)
        assert "was valid until" in refusals.told[0]
    finally:
        await joining.close()


async def test_tokens_that_are_kept_are_bounded() -> None:
    tokens = JoinTokens()
    first = tokens.issue("a", 60)
    for _ in range(1024):
        last = tokens.issue("b", 60)
    with pytest.raises(TokenRefused, match="no such join token"):
        tokens.redeem(first)
    assert tokens.redeem(last) == "b"


async def test_another_fingerprint_is_refused_before_anything_is_sent(point: JoinPoint, joining: Joining) -> None:
    other = replace(joining.config, ca="sha256:" + "0" * 64)
    with pytest.raises(DialError, match="is not the one that launched this plugin: its CA is sha256:"):
        await _join(point.address, other)
    await _join(point.address, joining.config)  # The token has not been spent.


class Impostor(JoinPoint):
    """Stands between a plugin and its join point: it tells the CA of that, which everybody may know, and its own."""

    def __init__(self, genuine: JoinPoint) -> None:
        super().__init__("tls://127.0.0.1:0")
        self.genuine = genuine
        self.tokens: list[str] = []

    @property
    def fingerprint(self) -> str:
        return self.genuine.fingerprint

    def authority_pem(self) -> str:
        return self.genuine.authority_pem() + super().authority_pem()

    def certify(self, token: str, request: bytes, end: RemoteEnd) -> str:
        self.tokens.append(token)
        return super().certify(token, request, end)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_ca_that_is_told_behind_the_one_of_the_fingerprint_is_not_trusted(language: str) -> None:
    points = (JoinPoint("tls://127.0.0.1:0") for _ in range(100))
    # Python's decoder of base64 stops at padding, and takes what stands behind it for nothing.
    impostor = Impostor(next(point for point in points if "=\n-----END" in point.authority_pem()))
    async with Runtime([elsewhere(language, impostor)], policies=Policies(restart=RestartPolicy(tries=0))) as runtime:
        assert not runtime.plugin("kv").ready
    assert impostor.tokens == []


@pytest.mark.parametrize("language", LANGUAGES)
async def test_another_plugin_of_the_same_ca_is_not_taken_for_the_runtime(
    language: str, point: JoinPoint, joining: Joining
) -> None:
    impostor = Impostor(point)
    impostor.authority_pem = point.authority_pem  # type: ignore[method-assign]
    impostor._tls = (await _join(point.address, joining.config)).tls
    impostor._tls.server_context().verify_mode = ssl.CERT_OPTIONAL
    async with Runtime([elsewhere(language, impostor)], policies=Policies(restart=RestartPolicy(tries=0))) as runtime:
        assert not runtime.plugin("kv").ready
    assert impostor.tokens == []


async def test_a_request_for_another_name_is_refused(point: JoinPoint, joining: Joining, refusals: Refusals) -> None:
    asked = JoinRequest(token=joining.config.token, csr=request_naming("runtime"))
    code, message = await refused(stranger(point), asked)
    assert code is Code.INVALID_ARGUMENT
    assert message == "the signing request names 'runtime', and may name 'kv' alone"
    assert "names 'runtime'" in refusals.told[0]


@pytest.mark.parametrize("request_", [b"", b"nonsense", b"\x30" * 20_000])
async def test_what_is_no_signing_request_is_refused(request_: bytes, point: JoinPoint, joining: Joining) -> None:
    code, message = await refused(stranger(point), JoinRequest(token=joining.config.token, csr=request_))
    assert code is Code.INVALID_ARGUMENT
    assert message.startswith("the signing request ")


async def test_who_has_no_certificate_may_say_little(point: JoinPoint, joining: Joining) -> None:
    code, _ = await refused(stranger(point), JoinRequest(token="x" * 100_000))
    assert code is Code.RESOURCE_EXHAUSTED
    code, message = await refused(stranger(point), JoinRequest(csr=_signing_request()[1]))
    assert (code, message) == (Code.PERMISSION_DENIED, "the run that this would be for has ended")


async def test_who_has_no_certificate_may_call_nothing_else(point: JoinPoint, joining: Joining) -> None:
    for path in ("/health", "/hijack", "/kv.v1.KeyValueService/Get"):
        curl = await asyncio.create_subprocess_exec(
            "curl", "-sk", f"https://127.0.0.1:{point.address.port}{path}", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await curl.communicate()
        assert out == b"a client certificate is needed"


async def test_strangers_that_stay_keep_nobody_out(
    point: JoinPoint, joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MAX_STRANGERS", 4)
    where = (point.address.host, point.address.port)
    opened = [await asyncio.open_connection(*where, ssl=unverified_context()) for _ in range(6)]
    try:
        for reader, _ in opened[:2]:  # The oldest are ended.
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 60)
        await _join(point.address, joining.config)
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def test_a_certificate_is_renewed_over_a_connection_that_shows_it(point: JoinPoint, joining: Joining) -> None:
    joined = await _join(point.address, joining.config)
    client = with_certificate(point, joined.tls)
    renewed = await client.join(JoinRequest(csr=_signing_request()[1]))
    assert "BEGIN CERTIFICATE" in renewed.certificate_pem
    await joining.close()
    other = await point.expect("kv", 5, Refusals().log)
    try:  # The start that the certificate is for is over: it is worth nothing now.
        code, _ = await refused(client, JoinRequest(csr=_signing_request()[1]))
        assert code is Code.PERMISSION_DENIED
    finally:
        await other.close()


async def test_a_certificate_is_not_renewed_again_at_once_by_a_clock_that_is_ahead(
    point: JoinPoint, joining: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = await _join(point.address, joining.config)
    ahead = SimpleNamespace(time=lambda: time.time() + 2 * 86400)
    monkeypatch.setattr("plugmux.plugin.join.time", ahead)
    renewed = []

    async def renew(self: Joined) -> None:
        renewed.append(self)

    monkeypatch.setattr(Joined, "renew", renew)
    renewing = asyncio.create_task(joined.renew_in_time())
    for _ in range(20):
        await asyncio.sleep(0)
    renewing.cancel()
    assert renewed == []


async def test_the_ca_is_told_to_everybody(point: JoinPoint, joining: Joining) -> None:
    answer = await stranger(point).get_authority(GetAuthorityRequest())
    assert "PRIVATE" not in answer.ca_pem
    assert answer.ca_pem.count("BEGIN CERTIFICATE") == 1


# -- what is told -----------------------------------------------------------------------------------------------------


async def test_tokens_stand_in_no_representation(joining: Joining) -> None:
    token = joining.config.token
    assert len(token) == 43
    assert token not in repr(joining.config)
    assert json.loads(joining.config.to_json())["token"] == token
    assert LaunchConfig.from_json(joining.config.to_json()) == joining.config


@pytest.mark.parametrize(
    "listen", ["unix:/a", "tcp://127.0.0.1:1", "tls://0.0.0.0:7445", "tls+dns://kv.example:7445", "nonsense"]
)
def test_an_address_that_no_plugin_can_dial_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError):
        JoinPoint(listen)


async def test_a_command_that_cannot_be_run_is_told(point: JoinPoint) -> None:
    launch = Launch(["kv"], name="kv", runner=RemoteRunner(["/no/such/ssh", "b", "sh"], point))
    runtime = Runtime([])
    with pytest.raises(PluginError, match="there is no program '/no/such/ssh'"):
        await runtime.launch(launch)
    assert point._listener is None
    await runtime.close()


@pytest.mark.parametrize("name", ["A; touch {file} #", "A\ntouch {file}", "A-B", "1A", ""])
async def test_a_variable_whose_name_a_shell_would_run_is_refused(name: str, point: JoinPoint, tmp_path: Path) -> None:
    file = tmp_path / "ran"
    launch = elsewhere("python", point)
    env = {**launch.env, name.format(file=file): "x"}
    async with Runtime([replace(launch, env=env)]) as runtime:
        error = runtime.plugin("kv").error
        assert error is not None
        assert "no shell can set a variable that is named" in error.detail
    assert not file.exists()


async def test_a_launch_elsewhere_needs_a_command(point: JoinPoint) -> None:
    async with Runtime([Launch([], "kv", runner=RemoteRunner(["sh"], point))]) as runtime:
        assert "its launch has no command" in str(runtime.plugin("kv").error)


async def test_no_plugin_gets_the_identity_of_a_runtime(point: JoinPoint) -> None:
    """Plugins know their runtime by its name: a plugin of that name could have answered in its place."""
    async with Runtime([Launch(["kv"], "runtime", runner=RemoteRunner(["sh"], point))]) as runtime:
        assert "the name 'runtime' is a runtime's where plugins join" in str(runtime.plugin("runtime").error)


async def test_values_that_are_no_text_pass_to_another_machine(point: JoinPoint, tmp_path: Path) -> None:
    file = tmp_path / "value"
    launch = Launch(["sh", "-c", f'printf %s "$ODD" > {file}'], "kv", runner=RemoteRunner(ELSEWHERE, point))
    async with Runtime([replace(launch, env={"ODD": "a'\udcff b"})]):
        assert file.read_bytes() == b"a'\xff b"


async def test_a_certificate_lives_for_a_day(point: JoinPoint, joining: Joining) -> None:
    answer = await stranger(point).join(JoinRequest(token=joining.config.token, csr=_signing_request()[1]))
    certificate = x509_module().load_pem_x509_certificate(answer.certificate_pem.encode())
    lived = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert timedelta(hours=24) <= lived <= timedelta(hours=25)


async def test_a_plugin_without_cryptography_says_what_it_needs(point: JoinPoint, tmp_path: Any) -> None:
    (tmp_path / "cryptography.py").write_text("raise ImportError\n")
    launch = elsewhere("python", point)
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    async with Runtime([replace(launch, env=env)]) as runtime:
        error = runtime.plugin("kv").error
        assert error is not None
        assert "pip install 'plugmux[pki]'" in error.stderr
