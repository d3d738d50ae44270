"""What plugins may claim, who decides on access, and what the sockets serve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import AuditClient, AuditService, KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse, RecordRequest, RecordResponse
from plugmux_proto.accesscontrol.v1 import accesscontrol_pb2 as access
from plugmux_proto.health.v1.health_connect import VersionClient
from plugmux_proto.health.v1.health_pb2 import GetVersionRequest
from plugmux_proto.plugins.v1 import plugins_pb2 as pb
from plugmux_proto.plugins.v1.plugins_connect import PluginManagementClient, RegisterClient
from plugmux_proto.plugmux.v1.runtime_connect import RuntimeClient
from plugmux_proto.plugmux.v1.runtime_pb2 import EventsRequest, LogsRequest
from plugmux_proto.resolver.v1.resolver_connect import ResolverClient
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsRequest

from plugmux import Directory, Launch, PluginCause, PluginError, Policies, Runtime, Timeouts
from plugmux.connect import Code, RpcError
from plugmux.contract.address import Address
from plugmux.errors import ConfigError
from plugmux.exchange import Request
from plugmux.http import SocketClient
from plugmux.link.app import LinkApp
from plugmux.link.link import Link, Peer
from plugmux.plugin.dial import dial
from plugmux.runners.manual import ManualRunner, by_hand
from plugmux.runtime import Event, EventKind, Permissions, State
from plugmux.secrets import AccessModule, Pattern, Provider, Resolver, Secret, secrets_services
from support.programs import KV_PLUGIN, kv_program, kv_script, script
from support.tools import docker_peer

KV = "kv.v1.KeyValueService"


class Vault(Provider):
    pattern = "vault/**"

    async def get_secrets(self, pattern: Pattern) -> AsyncIterator[Secret]:
        yield Secret("vault/a", b"true")


class Store(KeyValueService):
    async def get(self, request: GetRequest, context: Any) -> GetResponse:
        return GetResponse(value=b"the host's own")


class Allows(AccessModule):
    async def check_access(self, request: access.CheckAccessRequest, context: Any) -> access.CheckAccessResponse:
        return access.CheckAccessResponse(decision=access.Decision.DECISION_ALLOW)


class Audit(AuditService):
    def __init__(self) -> None:
        self.recorded = 0

    async def record(self, request: RecordRequest, context: Any) -> RecordResponse:
        self.recorded += 1
        return RecordResponse()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/private/runtime.sock"


def claim(name: str = "intruder", *services: str, pattern: str = "", module: bool = False) -> pb.RegisterPluginRequest:
    request = pb.RegisterPluginRequest(name=name, version="v1.0.0", services=services, priority=1000)
    if pattern:
        request.secrets_provider.pattern = pattern
    if module:
        request.access_control_module.SetInParent()
    return request


async def connect(address: str, *services: Any) -> Link:
    link = Link(LinkApp(services), initiator=True, peer=Peer("the runtime"))
    await dial(Address.parse(address), lambda: link.mux)
    return link


async def register(link: Link, request: pb.RegisterPluginRequest) -> None:
    await link.client(RegisterClient).register_plugin(request, timeout=60)


def serving_secrets(*plugins: Any, address: str, **options: Any) -> Runtime:
    runtime = Runtime(plugins, listen=[address], **options)
    for service in secrets_services(runtime, Resolver(runtime)):
        runtime.mount(service)
    return runtime


async def get_secret(address: str, pattern: str = "vault/a") -> bytes:
    response = await ResolverClient(SocketClient(address)).get_secrets(GetSecretsRequest(pattern=pattern))
    return response.envelopes[0].value


async def next_event(events: AsyncIterator[Event], kind: EventKind) -> Event:
    async for event in events:
        if event.kind is kind:
            return event
    raise AssertionError("the events have ended")


# -- who decides on access ---------------------------------------------------------------------------------------------


async def test_a_module_that_never_comes_up_denies(address: str, tmp_path: Path) -> None:
    guard = script(tmp_path, "guard", "raise SystemExit(1)")
    async with serving_secrets(Vault(), Launch([guard], access_control=True), address=address):
        with pytest.raises(RpcError, match="access-control plugin guard: it does not run") as caught:
            await get_secret(address)
        assert caught.value.code is Code.PERMISSION_DENIED


async def test_a_module_that_is_named_denies_until_it_registers_and_again_when_it_has_gone(address: str) -> None:
    permissions = Permissions(access_control=["guard"])
    async with serving_secrets(Vault(), address=address, permissions=permissions) as runtime:
        with pytest.raises(RpcError, match="access-control plugin guard: it has not registered"):
            await get_secret(address)
        async with await connect(address, Allows()) as link:
            await register(link, claim("guard", module=True))
            assert await get_secret(address) == b"true"
        while any(plugin.name == "guard" for plugin in runtime.plugins()):
            await asyncio.sleep(0)
        with pytest.raises(RpcError, match="access-control plugin guard: it has not registered"):
            await get_secret(address)


async def test_the_runtime_listens_when_its_modules_have_registered(address: str, tmp_path: Path) -> None:
    go = tmp_path / "go"
    source = """
        import os, time
        from plugmux import Plugin
        from plugmux.secrets import AccessModule
        while not os.path.exists(OPTIONS["go"]):
            time.sleep(0.01)
        Plugin(AccessModule(), version="v1.0.0").run()
    """
    guard = Launch([script(tmp_path, "guard", source, go=str(go))], access_control=True, timeout=60)
    runtime = serving_secrets(Vault(), guard, address=address)
    starting = asyncio.create_task(runtime.start())
    try:
        while not runtime.plugins() or runtime.plugin("guard").state is not State.REGISTERING:
            await asyncio.sleep(0)
        assert not Path(address.removeprefix("unix:")).exists()
        go.touch()
        await starting
        assert (await VersionClient(SocketClient(address)).get_version(GetVersionRequest())).version
    finally:
        await runtime.close()


async def test_what_is_launched_as_a_module_must_be_one(tmp_path: Path) -> None:
    program = kv_program(tmp_path)
    for options, permissions in (
        ({"access_control": True}, Permissions()),
        ({}, Permissions(access_control=["kv"])),
    ):
        launch = Launch([program], **options)  # type: ignore[arg-type]
        async with Runtime([launch], permissions=permissions) as runtime:
            error = runtime.plugin("kv").error
            assert error is not None
            assert "no access-control module" in error.detail


@pytest.mark.parametrize("named", [True, False])
async def test_a_launched_module_that_nobody_has_named_is_warned_of(tmp_path: Path, caplog: Any, named: bool) -> None:
    source = """
        from plugmux import Plugin
        from plugmux.secrets import AccessModule
        Plugin(AccessModule(), version="v1.0.0").run()
    """
    async with Runtime([Launch([script(tmp_path, "guard", source)], access_control=named)]) as runtime:
        assert runtime.plugin("guard").decides_on_access
    assert ("was not asked before it registered" in caplog.text) is not named


async def test_only_the_host_disables_a_module(address: str) -> None:
    async with serving_secrets(Vault(), Allows(), address=address) as runtime:
        management = PluginManagementClient(SocketClient(address))
        with pytest.raises(RpcError, match="only the host disables it") as caught:
            await management.disable_plugin(pb.DisablePluginRequest(name="Allows"))
        assert caught.value.code is Code.PERMISSION_DENIED
        assert runtime.plugin("Allows").state is State.RUNNING


# -- what a plugin may claim -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (claim("intruder", KV), f"serves {KV}, as plugin 'Store' does"),
        (claim(pattern="**"), r"provides secrets of 'vault/\*\*', as plugin 'Vault' does"),
        (claim(pattern="*/a"), r"provides secrets of 'vault/\*\*', as plugin 'Vault' does"),
        (claim(module=True), "decides on access, which the host does not grant"),
    ],
)
async def test_what_starts_by_itself_takes_nothing_of_others(address: str, request_: Any, why: str) -> None:
    async with serving_secrets(Vault(), Store(), address=address) as runtime, await connect(address) as link:
        events = runtime.events()
        told = asyncio.ensure_future(next_event(events, EventKind.REFUSED))
        await asyncio.sleep(0)
        with pytest.raises(RpcError, match=why):
            await register(link, request_)
        event = await told
        assert (event.plugin, event.state) == ("intruder", State.STOPPED)
        assert event.error is not None
        assert event.error.cause is PluginCause.REFUSED
        assert [plugin.name for plugin in runtime.plugins()] == ["Store", "Vault"]
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="a"))).value == b"the host's own"
        assert await get_secret(address) == b"true"


@pytest.mark.parametrize(
    "permissions",
    [Permissions(overlaps=True), Permissions(overlapping=["friend"], access_control=["friend"])],
)
async def test_the_host_grants_overlaps_by_name_or_as_a_whole(address: str, permissions: Permissions) -> None:
    async with serving_secrets(Vault(), Store(), address=address, permissions=permissions) as runtime:
        told = asyncio.ensure_future(next_event(runtime.events(), EventKind.OVERLAP))
        await asyncio.sleep(0)
        async with await connect(address) as link:
            await register(link, claim("friend", KV, module=True))
            assert (await told).status == f"it serves {KV}, as plugin 'Store' does"
            assert runtime.plugin("friend").external


async def test_what_is_launched_later_takes_its_own_back(address: str, tmp_path: Path) -> None:
    async with Runtime(listen=[address]) as runtime, await connect(address, Store()) as link:
        await register(link, claim("intruder", KV))
        told = asyncio.ensure_future(next_event(runtime.events(), EventKind.REFUSED))
        await asyncio.sleep(0)
        await runtime.launch(kv_program(tmp_path))
        assert (await told).status == f"it serves {KV}, which is plugin 'kv''s"
        await link.wait_closed()
        assert [plugin.name for plugin in runtime.plugins()] == ["kv"]


async def test_what_a_launch_names_is_kept_for_it_while_it_does_not_run(address: str, tmp_path: Path) -> None:
    broken = Launch([script(tmp_path, "kv", "raise SystemExit(1)")], serves=[KV], secrets="team/**")
    async with Runtime([broken], listen=[address]):
        for request in (claim("intruder", KV), claim(pattern="team/a")):
            async with await connect(address) as link:
                with pytest.raises(RpcError, match="as plugin 'kv' does"):
                    await register(link, request)


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"serves": ["kv.v1.Other"]}, f"serves {KV}, which its launch does not grant"),
        ({"serves": []}, f"serves {KV}, which its launch does not grant"),
        ({"secrets": "**"}, f"serves {KV}, which its launch does not grant"),
        ({"serves": [KV]}, ""),
    ],
)
async def test_a_launch_says_the_most_that_its_plugin_may_serve(tmp_path: Path, limits: Any, why: str) -> None:
    async with Runtime([Launch([kv_program(tmp_path)], **limits)]) as runtime:
        plugin = runtime.plugin("kv")
        assert plugin.state is (State.GAVE_UP if why else State.RUNNING)
        assert why in (plugin.error.detail if plugin.error else "")


async def test_what_takes_the_place_of_a_plugin_may_claim_no_more(tmp_path: Path) -> None:
    program = kv_program(tmp_path)
    greedy = script(
        tmp_path,
        "greedy",
        KV_PLUGIN.replace("Plugin(Store(),", "Plugin(Store(), Other(),")
        .replace("plugin = ", "class Other(AuditService): ...\n\n    plugin = ")
        .replace("AuditClient", "AuditClient, AuditService"),
    )
    async with Runtime([Launch([program], serves=[KV])]) as runtime:
        with pytest.raises(PluginError, match=r"serves kv\.v1\.AuditService, which its launch does not grant"):
            await runtime.replace("kv", greedy)
        await runtime.replace("kv", Launch([greedy], serves=[KV, "kv.v1.AuditService"]))
        said = runtime.plugin("kv").registration
        assert said is not None
        assert "kv.v1.AuditService" in said.services


def test_what_is_started_by_hand_may_claim_no_more() -> None:
    (launch,) = by_hand([Launch(["kv"], serves=[KV], secrets="a", access_control=True)], ["kv"])
    assert isinstance(launch, Launch)
    assert (isinstance(launch.runner, ManualRunner), launch.serves, launch.secrets, launch.access_control) == (
        True,
        [KV],
        "a",
        True,
    )


@pytest.mark.parametrize(
    ("granted", "pattern", "fits"),
    [
        ("vault/**", "vault/db/*", True),
        (["env/*", "vault/**"], "vault/**", True),
        ("vault/**", "**", False),
        ("vault/*", "vault/**", False),
        ("vault/a", "vault/*", False),  # Pattern.includes has another rule
    ],
)
async def test_the_pattern_of_a_provider_is_within_what_is_granted(granted: Any, pattern: str, fits: bool) -> None:
    command = [docker_peer(), "plugin", "-pattern", pattern]
    async with Runtime([Launch(command, name="vault", secrets=granted)]) as runtime:
        assert runtime.plugin("vault").state is (State.RUNNING if fits else State.GAVE_UP)


@pytest.mark.parametrize(
    ("lists", "why"),
    [
        ('services = ["kv.v1.KeyValueService"]', ""),
        ('secrets = ["vault/**"]', f"serves {KV}, which its manifest does not grant"),
        ("access_control = true", "no access-control module, and its manifest says that it is one"),
    ],
)
async def test_the_lists_of_a_manifest_are_the_most_too(tmp_path: Path, lists: str, why: str) -> None:
    kv_script(tmp_path, "store", "v1.2.3")
    (tmp_path / "kv.plugmux.toml").write_text(f'command = ["store"]\n{lists}\n')
    async with Runtime([Directory(tmp_path)]) as runtime:
        plugin = runtime.plugin("kv")
        assert why in (plugin.error.detail if plugin.error else "")
        assert plugin.state is (State.GAVE_UP if why else State.RUNNING)


@pytest.mark.parametrize("limits", [{"serves": "kv.v1.KV"}, {"serves": ["kv v1"]}, {"secrets": "a*"}])
def test_limits_that_say_nothing_are_refused(limits: Any) -> None:
    with pytest.raises(ConfigError):
        Launch(["kv"], **limits)


@pytest.mark.parametrize(
    "wrong",
    [{"access_control": "guard"}, {"socket": ["call"]}, {"socket": "calls"}, {"allow": {"web.example": "manage"}}],
)
def test_permissions_that_say_nothing_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Permissions(**wrong)


# -- who has registered ------------------------------------------------------------------------------------------------


async def test_services_of_the_host_wait_for_the_registration(address: str) -> None:
    audit = Audit()
    async with Runtime(services=[audit], listen=[address]) as runtime, await connect(address) as link:
        early = asyncio.ensure_future(link.client(AuditClient).record(RecordRequest(plugin="a")))
        assert (await link.transport.fetch(Request("/health", method="GET", timeout=60), 100)).body == b"ok"
        assert audit.recorded == 0
        await register(link, claim("late"))
        await early
        assert audit.recorded == 1
        (plugin,) = runtime.plugins()
        assert plugin.link is not None
        assert plugin.link.peer.name == "late"


async def test_services_of_the_host_refuse_who_does_not_register(address: str) -> None:
    audit = Audit()
    async with (
        Runtime(services=[audit], listen=[address], policies=Policies(timeouts=Timeouts(registration=0.05))),
        await connect(address) as link,
    ):
        with pytest.raises(RpcError, match="status 503"):
            await link.client(AuditClient).record(RecordRequest(plugin="a"))
        assert audit.recorded == 0


async def test_a_registration_whose_body_ends_late_leaves_no_ghost(address: str, caplog: Any) -> None:
    body = claim("slow").SerializeToString()
    head = (
        "POST /plugins.v1.RegisterService/RegisterPlugin HTTP/1.1\r\nhost: unix\r\nconnection: close\r\n"
        f"content-type: application/proto\r\nconnect-protocol-version: 1\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    async with (
        Runtime(listen=[address], policies=Policies(timeouts=Timeouts(registration=0.05))) as runtime,
        await connect(address) as link,
    ):
        reader = asyncio.StreamReader()
        stream = link.mux.open(asyncio.StreamReaderProtocol(reader))
        stream.write(head.encode() + body[:3])
        while "has not registered" not in caplog.text:
            await asyncio.sleep(0)
        stream.write(body[3:])
        assert b"its time is over" in await reader.read()
        assert runtime.plugins() == []


async def test_refusals_and_overlaps_are_told_over_the_socket(address: str) -> None:
    runtime = Runtime([Store()], listen=[address], permissions=Permissions(overlapping=["friend"]))
    async with runtime, RuntimeClient(SocketClient(address)).events(EventsRequest()) as events:
        assert (await anext(events)).kind == "change"
        async with await connect(address) as intruder, await connect(address) as friend:
            with pytest.raises(RpcError):
                await register(intruder, claim("intruder", KV))
            await register(friend, claim("friend", KV))
            told: list[tuple[str, str]] = []
            while len(told) < 2:
                event = await anext(events)
                told += [(event.plugin, event.kind)] if event.kind != "change" else []
        assert sorted(told) == [("friend", "overlap"), ("intruder", "refused")]


# -- what the sockets serve --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["plugins", "calls", "secrets", "manage", "observe"])
async def test_a_socket_is_closed_to_one_use_and_open_to_the_others(address: str, closed: Any) -> None:
    uses = {"plugins", "calls", "secrets", "manage", "observe"}
    permissions = Permissions(socket=uses - {closed})  # type: ignore[arg-type]  # mypy widens literals
    async with serving_secrets(Vault(), Store(), address=address, permissions=permissions):
        client = SocketClient(address)

        async def plugins() -> None:
            async with await connect(address) as link:
                await register(link, claim("friend"))

        async def manage() -> None:
            with pytest.raises(RpcError) as caught:
                await PluginManagementClient(client).enable_plugin(pb.EnablePluginRequest(name="Store"))
            if caught.value.code is not Code.FAILED_PRECONDITION:  # It was not launched.
                raise caught.value

        async def observe() -> None:
            await PluginManagementClient(client).list_plugins(pb.ListPluginsRequest())
            async with RuntimeClient(client).logs(LogsRequest()) as lines:
                assert [line async for line in lines] == []

        trials: dict[str, Any] = {
            "plugins": plugins,
            "calls": lambda: KeyValueClient(client).get(GetRequest(key="a")),
            "secrets": lambda: get_secret(address),
            "manage": manage,
            "observe": observe,
        }
        for use, trial in trials.items():
            if use != closed:
                await trial()
                continue
            with pytest.raises(Exception, match=r"403|closed its sockets"):
                await trial()
        assert (await VersionClient(client).get_version(GetVersionRequest())).version
