"""Plugins in three languages on three hosts; one direction that is cut; names that plugins dial. (`make network`)"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cloud.v1.cloud_connect import StorageClient
from cloud.v1.cloud_pb2 import UploadRequest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from network.delaying import Delaying
from network.exercise import CARRIED, KINDS
from network.names import Names
from network.namespaces import Host, Network, Process, network, wait_until
from plugmux import TLS, Policies, Remote, Runtime
from plugmux import Host as HostSettings
from plugmux.runtime import EventKind, State
from plugmux.yamux import Config
from support.cloud import cloud_command
from support.pki import Pki
from support.probe import probe_command
from support.remote import until
from support.tools import LANGUAGES, example_plugin

SHORT = Config(enable_keep_alive=True, keep_alive_interval=0.5, connection_write_timeout=0.5)
PORT = 7443
EXERCISE = Path(__file__).with_name("exercise.py")
PATH = os.pathsep.join([str(EXERCISE.parents[1]), os.environ.get("PYTHONPATH", "")])
NAMES = tuple(f"{language}-plugin" for language in LANGUAGES)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    with network(tmp_path, len(LANGUAGES)) as made:
        yield made


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


def new_runtime(pki: Pki, address: str, *plugins: Any, listen: str = "", **options: Any) -> Runtime:
    tls = TLS.directory(pki.directory("runtime", hosts=[address], at=f"runtime-{address}"))
    addresses = [] if plugins else [listen or f"tls://{address}:{PORT}"]
    return Runtime(plugins, listen=addresses, host=HostSettings(tls=tls), **options)


def start(net: Network, pki: Pki, language: str, **environ: object) -> Process:
    """Start the example plugin of a language on the host of that language."""
    host, name = net.hosts[LANGUAGES.index(language)], f"{language}-plugin"
    directory = pki.directory(name, hosts=[host.address])
    return net.start(host, *example_plugin(language), PLUGMUX_TLS_DIR=directory, **environ)


async def in_states(runtime: Runtime, *names: str, state: State = State.RUNNING) -> None:
    def reached() -> bool:
        return {plugin.name for plugin in runtime.plugins() if plugin.state is state} >= set(names)

    try:
        await until(reached)
    except TimeoutError:
        raise AssertionError([(plugin.name, plugin.state, plugin.status) for plugin in runtime.plugins()]) from None


async def called(runtime: Runtime, name: str) -> None:
    """Check that a plugin keeps what it is given."""
    kv = runtime.client(KeyValueClient, plugin=name)
    for size in (1, 300_000):
        await kv.put(PutRequest(key="a", value=b"x" * size), timeout=30)
        assert (await kv.get(GetRequest(key="a"), timeout=30)).value == b"x" * size


@pytest.mark.parametrize("dials", ["plugin", "runtime"])
async def test_three_languages_on_three_hosts(dials: str, net: Network, pki: Pki) -> None:
    remotes = []
    for language, host, name in zip(LANGUAGES, net.hosts, NAMES, strict=True):
        if dials == "plugin":
            start(net, pki, language, PLUGMUX_SOCKET=f"tls://{net.gateway}:{PORT}")
        else:
            start(net, pki, language, PLUGMUX_LISTEN="tls://0.0.0.0:7444")
            remotes.append(Remote(f"tls://{host.address}:7444", name=name))
    async with new_runtime(pki, net.gateway, *remotes) as runtime:
        await in_states(runtime, *NAMES)
        await asyncio.gather(*(called(runtime, name) for name in NAMES))
        peers = {plugin.name: plugin.peer for plugin in runtime.plugins()}
        for host, name in zip(net.hosts, NAMES, strict=True):
            peer = peers[name]
            assert peer is not None
            assert peer.identity == f"spiffe://test/{name}"
            assert peer.address.startswith(f"{host.address}:")


@pytest.mark.parametrize("dials", ["plugin", "runtime"])
def test_all_that_a_link_carries_passes_between_hosts(dials: str, pki: Pki, tmp_path: Path) -> None:
    """A runtime on each of two hosts, and the plugins of all languages on a third, each linked to both runtimes."""
    with network(tmp_path, 3) as net:
        *runtimes, third = net.hosts
        remotes = {}
        for at, (name, command) in enumerate(plugins_on_one_host(tmp_path).items()):
            met = {"PLUGMUX_SOCKET": ",".join(f"tls://{host.address}:{PORT}" for host in runtimes)}
            if dials == "runtime":
                met = {"PLUGMUX_LISTEN": f"tls://0.0.0.0:{7450 + at}"}
                remotes[name] = f"tls://{third.address}:{7450 + at}"
            net.start(third, *command, PLUGMUX_TLS_DIR=pki.directory(name, hosts=[third.address]), **met)
        programs = []
        for host in runtimes:
            tls = pki.directory("runtime", hosts=[host.address], at=f"runtime-{host.address}")
            listen = f"tls://{host.address}:{PORT}" if dials == "plugin" else ""
            given = {"tls": str(tls), "listen": listen, "remotes": remotes, "languages": LANGUAGES}
            programs.append(net.python(host, EXERCISE, json.dumps(given), PYTHONPATH=PATH))
        for program in programs:
            wait_until(partial(getattr, program, "ended"), "a runtime that has done all")
            table = json.loads(program.said.splitlines()[-1])
            assert table == {language: dict.fromkeys(CARRIED, "ok") for language in LANGUAGES}


def plugins_on_one_host(folder: Path) -> dict[str, list[str]]:
    """The plugins of each language, by name: a plugin's name is that of its program."""
    found = {}
    for language in LANGUAGES:
        of_kinds = (example_plugin(language), probe_command(language), cloud_command(language))
        for kind, command in zip(KINDS, of_kinds, strict=True):
            name = f"{language}-{kind}"
            program = folder / f"{name}{'.py' if command[-1].endswith('.py') else ''}"
            program.symlink_to(command[-1])
            found[name] = [*command[:-1], str(program)]
    return found


def has_said(process: Process, what: str) -> bool:
    return what in process.said


async def test_of_two_processes_with_one_certificate_the_first_stays(net: Network, pki: Pki) -> None:
    """The second is refused, at both ends, for as long as the first is linked; nothing goes to and fro."""
    first_host, second_host, _ = net.hosts
    tls = {name: pki.directory(name, hosts=[first_host.address, second_host.address]) for name in NAMES}

    def start_at(host: Host) -> dict[str, Process]:
        at = f"tls://{net.gateway}:{PORT}"
        return {
            name: net.start(host, *example_plugin(language), PLUGMUX_TLS_DIR=tls[name], PLUGMUX_SOCKET=at)
            for language, name in zip(LANGUAGES, NAMES, strict=True)
        }

    def places(runtime: Runtime) -> dict[str, str]:
        """The hosts of the plugins that run."""
        return {
            plugin.name: plugin.peer.address.partition(":")[0]
            for plugin in runtime.plugins()
            if plugin.state is State.RUNNING and plugin.peer is not None
        }

    async with new_runtime(pki, net.gateway, policies=Policies(mux=SHORT)) as runtime:
        refused: Counter[str] = Counter()
        told: set[str] = set()

        async def watch() -> None:
            async for event in runtime.events():
                if event.kind is EventKind.REFUSED:
                    refused[event.plugin] += 1
                    told.add(event.status)

        watching = asyncio.create_task(watch())
        firsts = start_at(first_host)
        await in_states(runtime, *NAMES)
        links = {plugin.name: plugin.link for plugin in runtime.plugins()}
        seconds = start_at(second_host)
        await until(lambda: set(refused) == set(NAMES) and min(refused.values()) >= 3)  # They try again and again.
        taken = [f"there is a plugin named {name!r} already" for name in NAMES]
        assert all(any(why in each for each in told) for why in taken)
        for why, process in zip(taken, seconds.values(), strict=True):
            await until(partial(has_said, process, why))
        assert {plugin.name: plugin.link for plugin in runtime.plugins()} == links  # The first never lost its place.
        # When the first is away, the second has its place; and the first that comes again is the second now.
        for process in firsts.values():
            await asyncio.to_thread(process.kill)
        await until(lambda: places(runtime) == dict.fromkeys(NAMES, second_host.address))
        refused.clear()
        start_at(first_host)
        await until(lambda: set(refused) == set(NAMES) and min(refused.values()) >= 2)
        assert places(runtime) == dict.fromkeys(NAMES, second_host.address)
        await asyncio.gather(*(called(runtime, name) for name in NAMES))
        watching.cancel()


async def test_one_direction_that_is_cut_is_noticed_and_told_at_both_ends(pki: Pki, tmp_path: Path) -> None:
    """What one end sends arrives, and what the other sends does not: neither has the answer to its ping."""
    with network(tmp_path, 2 * len(LANGUAGES)) as net:
        half = len(LANGUAGES)
        await asyncio.gather(
            cut_and_mended("input", net, net.hosts[:half], pki, PORT),
            cut_and_mended("output", net, net.hosts[half:], pki, PORT + 1),
        )


async def cut_and_mended(way: str, net: Network, hosts: Sequence[Host], pki: Pki, port: int) -> None:
    plugins = {}
    for language, host in zip(LANGUAGES, hosts, strict=True):
        name = f"{language}-cloud"
        tls = pki.directory(name, hosts=[host.address], at=f"{name}-{way}")
        at = {"PLUGMUX_TLS_DIR": tls, "PLUGMUX_SOCKET": f"tls://{net.gateway}:{port}"}
        plugins[name] = net.start(host, *cloud_command(language), **at)
    listen = f"tls://{net.gateway}:{port}"
    async with new_runtime(pki, net.gateway, listen=listen, policies=Policies(mux=SHORT)) as runtime:
        await in_states(runtime, *plugins)
        links = {plugin.name: plugin.link for plugin in runtime.plugins()}
        cut = f"table inet {way} {{ chain c {{ type filter hook {way} priority 0; meta l4proto tcp drop; }}; }}"
        for host in hosts:
            net.nft(host, cut)
        await in_states(runtime, *plugins, state=State.UNREACHABLE)
        for plugin in runtime.plugins():
            assert "its link was lost" in plugin.status
        for process in plugins.values():
            # The plugins notice after 20 s at the latest; or at once, where the runtime's reset arrives.
            await until(partial(told, process))
            assert any(why in told(process) for why in WHY)
        for host in hosts:
            net.nft(host, "")
        await in_states(runtime, *plugins)
        for name, process in plugins.items():
            assert process._process.poll() is None  # It is the same process.
            assert next(plugin for plugin in runtime.plugins() if plugin.name == name).link is not links[name]
            async with await runtime.open_instance(name, {"region": "eu"}, timeout=60) as region:
                stored = await region.client(StorageClient).upload(UploadRequest(name="a"), timeout=60)
                assert stored.address == "eu/a"


WHY = ("ping", "keepalive", "silent", "reset", "ECONNRESET", "closed")
"""What the plugin's end learns: that its ping has no answer, or that the runtime has given the connection up."""


def told(process: Process) -> str:
    """What a plugin has told of the end of its link."""
    found = re.search("the link to the runtime has ended.*", process.said)
    return found[0] if found is not None else ""


@pytest.mark.parametrize("held", [0, 1], ids=["to the runtime", "to the plugin"])
async def test_a_proxy_that_delays_and_then_holds_one_direction(held: int, net: Network, pki: Pki) -> None:
    proxy = Delaying(0.05)
    async with (
        new_runtime(pki, net.gateway, policies=Policies(mux=SHORT)) as runtime,
        proxy.between((net.gateway, 7450), (net.gateway, PORT)),
    ):
        start(net, pki, "go", PLUGMUX_SOCKET=f"tls://{net.gateway}:7450")
        await in_states(runtime, "go-plugin")
        await called(runtime, "go-plugin")  # A delay alone ends nothing.
        proxy.flows[held].clear()
        await in_states(runtime, "go-plugin", state=State.UNREACHABLE)
        proxy.flows[held].set()
        await in_states(runtime, "go-plugin")
        await called(runtime, "go-plugin")


@pytest.mark.parametrize("address", ["tls+dns://runtime.test:7443", "tls+srv://_plugmux._tcp.runtime.test"])
async def test_plugins_dial_every_runtime_of_a_name(address: str, net: Network, pki: Pki, tmp_path: Path) -> None:
    second = net.add_address(253)
    names = Names(net, tmp_path, [f"_plugmux._tcp.runtime.test,{host}.test,{PORT}" for host in "ab"])
    await names.start(runtime=[net.gateway, second], a=[net.gateway], b=[second])
    for language in LANGUAGES:
        start(net, pki, language, PLUGMUX_SOCKET=address)
    async with new_runtime(pki, net.gateway) as one, new_runtime(pki, second) as other:
        for runtime in (one, other):
            await in_states(runtime, *NAMES)
            await asyncio.gather(*(called(runtime, name) for name in NAMES))
        await one.close()
        await asyncio.gather(*(called(other, name) for name in NAMES))  # Each link lives by itself.
