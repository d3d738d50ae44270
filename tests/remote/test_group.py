"""The replicas of a name: what a runtime does where it cannot be looked up, and while one of them leaves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection

import pytest
from kv.v1.kv_connect import KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse

from plugmux import Host, Plugin, PluginCause, PluginError, Policies, Remote, Runtime, Timeouts
from plugmux.connect import Context
from plugmux.contract.address import NetworkAddress
from plugmux.errors import StateError
from plugmux.network import places
from plugmux.network.places import LookupFailed, Place
from plugmux.plugin.network import NetworkLinks
from plugmux.runtime.remote import group
from support.pki import Pki
from support.remote import in_state, serving

NAME = "tls+dns://kv.example:7444"


async def test_that_nothing_can_look_names_up_is_told(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.asyncresolver", None)
    host = Host(tls=pki.tls("runtime"))
    with pytest.raises(PluginError, match=r"dnspython: pip install 'plugmux\[dns\]'") as caught:
        await Runtime([Remote(NAME, required=True)], host=host).start()
    assert caught.value.cause is PluginCause.UNREACHABLE
    async with Runtime([Remote(NAME)], host=host) as runtime:
        assert "dnspython" in str(runtime.plugin("kv").error)


async def test_why_a_name_leads_nowhere_is_told(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(address: NetworkAddress) -> tuple[Collection[Place], float]:
        raise LookupFailed(f"{address} could not be looked up: it does not exist")

    monkeypatch.setattr(places, "look_up_by_dns", look_up)
    with pytest.raises(PluginError, match="could not be looked up: it does not exist"):
        await Runtime([Remote(NAME, required=True)], host=Host(tls=pki.tls("runtime"))).start()


async def test_a_runtime_that_closes_while_it_dials_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    connected, left = asyncio.Event(), asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        while await reader.read(4096):
            continue
        writer.transport.abort()
        left.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    runtime = Runtime([Remote(f"tcp://127.0.0.1:{port}", name="kv")])
    starting = asyncio.create_task(runtime.start())
    await connected.wait()
    await runtime.close()
    await asyncio.wait([starting])
    await left.wait()
    silent.close()
    assert "left behind" not in caplog.text
    assert isinstance(starting.exception(), StateError)


async def test_a_start_that_waits_for_addresses_ends_with_the_runtime(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def look_up(address: NetworkAddress) -> tuple[Collection[Place], float]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(places, "look_up_by_dns", look_up)
    monkeypatch.setattr(group, "START_TIME", 3600.0)
    runtime = Runtime([Remote(NAME)], host=Host(tls=pki.tls("runtime")))
    starting = asyncio.create_task(runtime.start())
    await asked.wait()
    await runtime.close()
    await asyncio.wait_for(asyncio.wait([starting]), 60)
    assert isinstance(starting.exception(), StateError)


class Slow(KeyValueService):
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        self.asked.set()
        await self.may_answer.wait()
        return GetResponse()


async def test_a_replica_that_leaves_ends_with_its_runtime(
    pki: Pki, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [Place(NetworkAddress("tls", "127.0.0.1", unused_tcp_port), "kv.example")]
    left = asyncio.Event()
    service = Slow()

    async def look_up(address: NetworkAddress) -> tuple[Collection[Place], float]:
        if service.asked.is_set():
            left.set()
            return [], 0.0
        return there, 0.0

    monkeypatch.setattr(places, "look_up_by_dns", look_up)
    plugin = Plugin(service, name="kv", version="v1.2.3")
    policies = Policies(timeouts=Timeouts(replacement=3600))
    async with serving(plugin, NetworkLinks.parse(f"tls://127.0.0.1:{unused_tcp_port}", "", pki.tls("kv"))):
        runtime = Runtime([Remote(NAME)], host=Host(tls=pki.tls("runtime")), policies=policies)
        async with runtime:
            await in_state(runtime, "kv")
            replica = runtime.plugin("kv")
            call = asyncio.ensure_future(runtime.client(KeyValueClient).get(GetRequest(key="x")))
            await left.wait()
            while runtime.plugin("kv") is replica:
                await asyncio.sleep(0.01)
        assert replica.link is None
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "plugmux: plugin kv"]
        await asyncio.wait([call])
        assert call.exception() is not None
