"""Programs that behave as Docker's do, on hashicorp/yamux and connect-go alone: as plugin, as client and as engine."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from plugmux_proto.resolver.v1.resolver_connect import AuthorizerClient, ResolverClient
from plugmux_proto.resolver.v1.resolver_pb2 import AuthorizeRequest, Decision, GetSecretsRequest

from plugmux import Launch, RestartPolicy, Runtime
from plugmux.connect import Code, RpcError
from plugmux.http import SocketClient
from plugmux.runtime import LogSource, Permissions, PluginHandle, State
from plugmux.secrets import Pattern, Provider, Resolver, Secret, SecretNotFound, secrets_services
from support.programs import KV_PLUGIN, script
from support.tools import LANGUAGES, docker_peer, example_plugin

PEER = docker_peer()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/s"


def launch(*options: str, name: str = "vault", **more: Any) -> Launch:
    return Launch([PEER, "plugin", *options], name=name, **more)


def serving(*plugins: Any, address: str, **options: Any) -> Runtime:
    runtime = Runtime(plugins, listen=[address], **options)
    for service in secrets_services(runtime, Resolver(runtime)):
        runtime.mount(service)
    return runtime


@asynccontextmanager
async def self_started(address: str, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        PEER, "plugin", "-socket", address.removeprefix("unix:"), *options, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def reaches(runtime: Runtime, name: str, state: State) -> PluginHandle:
    async for event in runtime.events(present=True):
        if (event.plugin, event.state) == (name, state):
            return runtime.plugin(name)
    raise AssertionError("the events have ended")


async def client(address: str, *what: str) -> Any:
    """What Docker's client says of a runtime."""
    process = await asyncio.create_subprocess_exec(
        PEER, "client", "-socket", address.removeprefix("unix:"), *what, stdout=asyncio.subprocess.PIPE
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(stdout)


# -- its plugins under our runtime ------------------------------------------------------------------------------------


async def test_a_plugin_is_launched_registers_and_answers() -> None:
    async with Runtime([launch("-version", "v1.2")]) as runtime:
        plugin = runtime.plugin("vault")
        assert (plugin.state, plugin.version) == (State.RUNNING, "v1.2")
        secret = await Resolver(runtime).get("vault/a")
        assert (secret.value, secret.provider) == (b"value of vault/a", "vault")
        assert (secret.created_at, secret.expires_at) == (None, None)
        assert secret.resolved_at is not None
        assert secret.resolved_at.year > 2000
        assert [found.metadata["asked"] for found in await Resolver(runtime).get_all("**")] == ["vault/**"] * 2
    assert plugin.state is State.STOPPED


@pytest.mark.parametrize("name", ["my plugin", "vendor/plug", "plug:1", "_x"])
async def test_a_plugin_starts_by_itself_under_any_name_and_does_not_come_back(address: str, name: str) -> None:
    async with Runtime(listen=[address]) as runtime, self_started(address, "-name", name) as process:
        plugin = await reaches(runtime, name, State.RUNNING)
        assert plugin.external
        assert (await Resolver(runtime).get("vault/b")).provider == name
        assert plugin.link is not None
        await plugin.stop()
        assert await process.wait() == 0
        assert runtime.plugins() == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-name", ""], "internal: the plugin name '' is not valid"),
        (["-version", "1.0"], "internal: the version '1.0'"),
        (["-pattern", "a//b"], "invalid_argument: the pattern 'a//b'"),
        (["-name", "taken"], "internal: there is a plugin named 'taken' already"),
    ],
)
async def test_a_plugin_is_told_why_it_is_refused(address: str, options: list[str], told: str) -> None:
    runtime = Runtime([launch(name="taken")], listen=[address])
    async with runtime, self_started(address, "-pattern", "other/**", *options) as process:
        assert process.stderr is not None
        assert told in (await process.stderr.read()).decode()
        assert await process.wait() == 1


async def test_a_launched_plugin_that_fails_is_skipped() -> None:
    plugins = [launch("-mode", mode, name=mode) for mode in ("internal", "missing")]
    async with Runtime([*plugins, launch()]) as runtime:
        assert (await Resolver(runtime).get("vault/a")).provider == "vault"
        accounts = (await Resolver(runtime).explain("vault/a")).accounts
        assert [(each.plugin, each.outcome.value) for each in accounts] == [
            ("internal", "failed"),
            ("missing", "has none"),
            ("vault", "answered"),
        ]


async def test_a_plugin_that_dies_in_a_call_is_told_and_started_again() -> None:
    async with Runtime([launch("-mode", "crash", restart=RestartPolicy(delay=0.01))]) as runtime:
        with pytest.raises(SecretNotFound, match="exited with status 7"):
            await Resolver(runtime).get("vault/a")
        plugin = await reaches(runtime, "vault", State.RUNNING)
        assert plugin.restarts == 1


async def test_a_slow_call_is_cut_off_and_its_handler_cancelled() -> None:
    async with Runtime([launch("-mode", "slow")]) as runtime:
        lines = runtime.follow_logs("vault")
        with pytest.raises(SecretNotFound, match="failed: vault"):
            await Resolver(runtime, timeout=0.05).get("vault/a")
        assert "cancelled" in (await anext(line async for line in lines if line.source is LogSource.STDERR)).message
        assert runtime.plugin("vault").state is State.RUNNING


async def test_answers_of_two_mebibytes_come_whole() -> None:
    async with Runtime([launch("-mode", "large")]) as runtime:
        for _ in range(3):
            assert [len(found.value) for found in await Resolver(runtime).get_all("vault/*")] == [1 << 20] * 2


async def test_a_plugin_that_never_comes_up_or_is_silent_is_listed_for_its_client(address: str) -> None:
    plugins = [launch("-mode", "exit", name="exits"), launch("-mode", "silent", name="silent", timeout=0.5), launch()]
    async with Runtime(plugins, listen=[address]):
        listed = await client(address, "list")
        assert [(each["name"], each["version"], each["status"]) for each in listed] == [
            ("exits", "v0.0.0-unregistered", 4),
            ("silent", "v0.0.0-unregistered", 4),
            ("vault", "v1", 1),
        ]


async def test_check_access_decides_and_authorize_does_not(address: str) -> None:
    guard = launch("-access", "-check", "deny", "-ahead", "allow", name="guard", access_control=True)
    async with serving(launch(), guard, address=address) as runtime:
        denied = await client(address, "get", "vault/a")
        assert denied["code"] == "permission_denied"
        assert await client(address, "authorize", "vault/a") == Decision.DECISION_ALLOW
        said = [line.message for line in runtime.logs("guard") if line.source is LogSource.STDERR]
        assert [line.split(" by ")[0] for line in said] == ["CheckAccess vault/a", "Authorize [vault/a]"]
        assert not any(line.endswith("pid 0") for line in said)


async def test_a_module_that_starts_by_itself_decides_where_it_is_named(address: str) -> None:
    permissions = Permissions(access_control=["the guard"])
    async with serving(launch(), address=address, permissions=permissions) as runtime:
        assert (await client(address, "get", "vault/a"))["code"] == "permission_denied"
        async with self_started(address, "-access", "-name", "the guard"):
            await reaches(runtime, "the guard", State.RUNNING)
            assert [found["id"] for found in await client(address, "get", "vault/a")] == ["vault/a"]
        async with self_started(address, "-access", "-name", "another") as refused:
            assert await refused.wait() == 1


# -- its client at our runtime ----------------------------------------------------------------------------------------


class Own(Provider):
    pattern = "own/**"

    async def get_secrets(self, pattern: Pattern) -> AsyncIterator[Secret]:
        yield Secret("own/a", b"1", metadata={"asked": pattern.text})


async def test_a_client_reads_what_our_runtime_answers(address: str) -> None:
    async with serving(Own(), launch(), address=address):
        found = await client(address, "get", "**")
        assert [(each["id"], each["provider"], each["asked"]) for each in found] == [
            ("own/a", "Own", "own/**"),
            ("vault/a", "vault", "vault/**"),
            ("vault/b", "vault", "vault/**"),
        ]
        assert {(each["created"], each["expires"]) for each in found} == {("unset", "unset")}
        assert all(each["resolved"] > "2000" for each in found)
        assert (await client(address, "version")).startswith("v")
        for what, code in ((["get", "vault/c"], "not_found"), (["get", "a//b"], "invalid_argument")):
            assert (await client(address, *what))["code"] == code
        assert (await client(address, "authorize"))["code"] == "invalid_argument"
        assert await client(address, "authorize", "vault/a", "own/*") == Decision.DECISION_ALLOW


async def test_a_client_switches_plugins(address: str) -> None:
    async with serving(launch(), address=address):
        await client(address, "disable", "vault")
        (listed,) = await client(address, "list")
        assert (listed["disabled"], listed["status"]) == (True, 2)
        await client(address, "enable", "vault")
        assert [each["id"] for each in await client(address, "get", "vault/*")] == ["vault/a", "vault/b"]
        assert (await client(address, "disable", "nobody"))["code"] == "not_found"


# -- our plugins under its engine -------------------------------------------------------------------------------------

PROVIDER = """
    from plugmux import Plugin
    from plugmux.connect import Code, RpcError
    from plugmux.secrets import Provider, Secret

    class Vault(Provider):
        pattern = "vault/**"

        async def get_secrets(self, pattern):
            if pattern.text == "vault/broken":
                raise RpcError(Code.INTERNAL, "sealed")
            for id in ("vault/a", "vault/b"):
                size = 1 << 20 if pattern.text == "vault/*" else 1
                yield Secret(id, b"x" * size, metadata={"asked": pattern.text})

    Plugin(Vault(), version="v1.2.3").run()
"""

GUARD = """
    from plugmux import Plugin
    from plugmux.secrets import AccessModule
    from plugmux_proto.accesscontrol.v1.accesscontrol_pb2 import CheckAccessResponse, Decision

    class Guard(AccessModule):
        async def check_access(self, request, context):
            fits = request.pattern == "vault/a" and request.requester.name == "docker-peer"
            return CheckAccessResponse(decision=Decision.DECISION_ALLOW if fits else Decision.DECISION_DENY)

    Plugin(Guard(), version="v1.0.0").run()
"""


@asynccontextmanager
async def engine(address: str, *files: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Docker's engine, with these plugins launched."""
    process = await asyncio.create_subprocess_exec(
        PEER,
        *("engine", "-socket", address.removeprefix("unix:"), *files),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def end(process: asyncio.subprocess.Process) -> list[str]:
    """End an engine in order; what it says of each process that it has launched."""
    stdout, _ = await process.communicate(b"")
    return stdout.decode().splitlines()


async def test_its_engine_launches_our_plugin_asks_it_and_ends_it(address: str, tmp_path: Path) -> None:
    async with engine(address, script(tmp_path, "vault", PROVIDER)) as process:
        found = await client(address, "get", "**")
        assert [(each["id"], each["provider"], each["asked"]) for each in found] == [
            ("vault/a", "vault", "vault/**"),
            ("vault/b", "vault", "vault/**"),
        ]
        assert {(each["created"], each["expires"]) for each in found} == {("unset", "unset")}
        assert all(each["resolved"] > "2000" for each in found)  # It sets what is unset as Go has it.
        assert (await client(address, "get", "vault/broken"))["code"] == "not_found"
        assert [len(each["value"]) for each in await client(address, "get", "vault/*")] == [1 << 20] * 2
        (listed,) = await client(address, "list")
        assert (listed["name"], listed["version"], listed["pattern"]) == ("vault", "v1.2.3", "vault/**")
        assert await end(process) == ["vault exit status 0"]


async def test_our_plugin_reaches_its_engine_by_itself(address: str, tmp_path: Path) -> None:
    async with engine(address) as process:
        environ = {**os.environ, "PLUGMUX_SOCKET": address}
        vault = await asyncio.create_subprocess_exec(script(tmp_path, "vault", PROVIDER), env=environ)
        try:
            while not (listed := await client(address, "list")):
                await asyncio.sleep(0)
            assert (listed[0]["name"], listed[0]["external"]) == ("vault", True)
            assert (await client(address, "get", "vault/a"))[0]["value"] == "x"
            assert await end(process) == []
        finally:
            vault.terminate()
            await vault.wait()


async def test_our_access_control_module_decides_for_its_engine(address: str, tmp_path: Path) -> None:
    programs = script(tmp_path, "vault", PROVIDER), script(tmp_path, "guard", GUARD)
    async with engine(address, *programs) as process:
        assert (await client(address, "get", "vault/a"))[0]["id"] == "vault/a"
        assert (await client(address, "get", "vault/b"))["code"] == "permission_denied"
        assert sorted(await end(process)) == ["guard exit status 0", "vault exit status 0"]


async def test_our_clients_read_what_its_engine_answers(address: str, tmp_path: Path) -> None:
    async with engine(address, script(tmp_path, "vault", PROVIDER)):
        socket = SocketClient(address)
        response = await ResolverClient(socket).get_secrets(GetSecretsRequest(pattern="vault/a"))
        secret = Secret.from_envelope(response.envelopes[0])
        assert (secret.id, secret.provider, secret.created_at) == ("vault/a", "vault", None)
        leave = await AuthorizerClient(socket).authorize(AuthorizeRequest(patterns=["vault/a"]))
        assert leave.decision == Decision.DECISION_ALLOW
        with pytest.raises(RpcError) as caught:
            await AuthorizerClient(socket).authorize(AuthorizeRequest())
        assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("language", LANGUAGES)
async def test_its_engine_takes_the_plugins_of_all_our_languages(address: str, language: str) -> None:
    command = example_plugin(language)
    async with engine(address, command[-1]) as process:
        (found,) = await client(address, "get", "*/greeting")
        assert (found["provider"], found["created"], found["expires"]) == (f"{language}-plugin", "unset", "unset")
        assert await end(process) == [f"{language}-plugin exit status 0"]
    Path(address.removeprefix("unix:")).unlink(missing_ok=True)
    async with engine(address):
        environ = {**os.environ, "PLUGMUX_SOCKET": address}
        plugin = await asyncio.create_subprocess_exec(*command, env=environ)
        try:
            while not await client(address, "list"):
                await asyncio.sleep(0)
            assert [each["id"] for each in await client(address, "get", "**")] == [found["id"]]
        finally:
            plugin.terminate()
            await plugin.wait()


async def test_its_engine_refuses_a_kind_that_it_does_not_know_and_says_so(address: str, tmp_path: Path) -> None:
    async with engine(address):
        environ = {**os.environ, "PLUGMUX_SOCKET": address}
        generic = script(tmp_path, "kv", KV_PLUGIN)
        process = await asyncio.create_subprocess_exec(generic, env=environ, stderr=asyncio.subprocess.PIPE)
        _, said = await process.communicate()
        assert process.returncode == 1
        assert b"the kind of the plugin is not known" in said
