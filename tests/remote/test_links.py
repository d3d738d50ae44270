"""A plugin on another machine, both ways of dialling: it registers, it is called, it calls back, and it is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kv.v1.kv_connect import AuditClient, AuditService, KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse, RecordRequest, RecordResponse, WatchRequest, WatchResponse

from plugmux import Host, Permissions, Plugin, Remote, Runtime
from plugmux.connect import Context
from plugmux.contract.address import NetworkAddress
from plugmux.link.link import Link
from plugmux.plugin.network import NetworkLinks
from plugmux.runtime import State
from support.pki import Pki
from support.remote import in_state, serving, until


class Store(KeyValueService):
    """Tells who asks, by the link that the call came over."""

    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        return GetResponse(value=Link.of(context).peer.identity.encode())


def new_plugin(**options: Any) -> Plugin:
    return Plugin(Store(), name="kv", version="v1.2.3", **options)


def dialling(pki: Pki, runtime: Runtime) -> NetworkLinks:
    return NetworkLinks.parse("", runtime.addresses[0], pki.tls("kv"))


def new_runtime(pki: Pki, *plugins: Any, **permissions: Any) -> Runtime:
    listen = () if plugins else ["tls://127.0.0.1:0"]
    return Runtime(plugins, listen=listen, host=Host(tls=pki.tls("runtime")), permissions=Permissions(**permissions))


async def test_a_plugin_dials_and_is_called(pki: Pki) -> None:
    async with new_runtime(pki) as runtime, serving(new_plugin(), dialling(pki, runtime)):
        await in_state(runtime, "kv")
        (plugin,) = runtime.plugins()
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="x"))).value == b"spiffe://test/runtime"
        assert plugin.external
        assert plugin.version == "v1.2.3"
        assert plugin.peer is not None
        assert plugin.peer.identity == "spiffe://test/kv"
        assert plugin.peer.address.startswith("127.0.0.1:")


async def test_each_half_of_a_raw_stream_ends_by_itself(pki: Pki) -> None:
    """As over a unix socket, though a connection of TLS has no halves."""

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % len(await reader.read()))

    async with new_runtime(pki) as runtime, serving(new_plugin(streams={"count": count}), dialling(pki, runtime)):
        await in_state(runtime, "kv")
        link = runtime.plugin("kv").link
        assert link is not None
        reader, writer = await link.open_stream("count")
        writer.write(b"x" * 300_000)
        writer.write_eof()
        assert await reader.read() == b"300000"
        writer.close()


async def test_a_runtime_listens_with_and_without_tls(pki: Pki) -> None:
    listen = ["tls://127.0.0.1:0", "tcp://127.0.0.1:0"]
    async with Runtime(listen=listen, host=Host(tls=pki.tls("runtime"))) as runtime:
        for address in runtime.addresses:
            async with serving(new_plugin(), NetworkLinks.parse("", address, pki.tls("kv"))):
                await in_state(runtime, "kv")
            await until(lambda: not runtime.plugins())


async def test_a_plugin_that_ends_in_order_is_forgotten(pki: Pki) -> None:
    async with new_runtime(pki) as runtime:
        async with serving(new_plugin(), dialling(pki, runtime)):
            await in_state(runtime, "kv")
        await until(lambda: not runtime.plugins())


async def test_a_plugin_listens_and_the_runtime_dials(pki: Pki, unused_tcp_port: int) -> None:
    address = f"tls://127.0.0.1:{unused_tcp_port}"
    async with serving(new_plugin(), NetworkLinks.parse(address, "", pki.tls("kv"))):
        async with new_runtime(pki, Remote(address, name="kv")) as runtime:
            await in_state(runtime, "kv")
            assert (await runtime.client(KeyValueClient).get(GetRequest(key="x"))).value == b"spiffe://test/runtime"
            plugin = runtime.plugin("kv")
            assert plugin.peer is not None
            assert plugin.peer.identity == "spiffe://test/kv"
        async with new_runtime(pki, Remote(address, name="kv")) as runtime:  # It serves the next runtime as well.
            await in_state(runtime, "kv")


async def test_a_runtime_dials_until_there_is_a_plugin(pki: Pki, unused_tcp_port: int) -> None:
    address = f"tls://127.0.0.1:{unused_tcp_port}"
    async with new_runtime(pki, Remote(address, name="kv")) as runtime:
        plugin = runtime.plugin("kv")
        await until(lambda: plugin.status.startswith("tried 2 times, next in "))
        assert plugin.state is State.UNREACHABLE
        assert "connection refused" in plugin.status
        async with serving(new_plugin(), NetworkLinks.parse(address, "", pki.tls("kv"))):
            # The call waits within its time.
            await runtime.client(KeyValueClient, plugin="kv").get(GetRequest(key="x"), timeout=50)
            assert plugin.ready
        await in_state(runtime, "kv", State.UNREACHABLE)


async def test_a_plugin_dials_until_there_is_a_runtime(pki: Pki, unused_tcp_port: int) -> None:
    address = f"tls://127.0.0.1:{unused_tcp_port}"
    plugin = new_plugin()
    async with serving(plugin, NetworkLinks.parse("", address, pki.tls("kv"))):
        for _ in range(2):  # It comes back to the next one.
            runtime = Runtime(listen=[address], host=Host(tls=pki.tls("runtime")))
            async with runtime:
                await in_state(runtime, "kv")


async def test_one_plugin_serves_several_runtimes(pki: Pki) -> None:
    async with new_runtime(pki) as first, new_runtime(pki) as second:
        both = ",".join(first.addresses + second.addresses)
        async with serving(new_plugin(), NetworkLinks.parse("", both, pki.tls("kv"))):
            for runtime in (first, second):
                await in_state(runtime, "kv")
                await runtime.client(KeyValueClient).get(GetRequest(key="x"))


class Hearing(AuditService):
    """A runtime's service that keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
        self.heard.append(request.event)
        return RecordResponse()


class Telling(KeyValueService):
    """Tells the host of each call."""

    audit: AuditClient

    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        await self.audit.record(RecordRequest(event=request.key))
        return GetResponse()

    async def watch(self, request: WatchRequest, context: Context) -> AsyncIterator[WatchResponse]:
        await self.audit.record(RecordRequest(event=request.key))
        yield WatchResponse()


@pytest.mark.parametrize("dials", ["plugin", "runtime"])
async def test_a_handler_calls_the_runtime_that_has_called_it(dials: str, pki: Pki, unused_tcp_port: int) -> None:
    hearing = {"first": Hearing(), "second": Hearing()}
    service = Telling()
    plugin = Plugin(service, name="kv", version="v1.0.0")
    service.audit = plugin.client(AuditClient)
    address = f"tls://127.0.0.1:{unused_tcp_port}"
    sources, listen = ([Remote(address, name="kv")], []) if dials == "runtime" else ([], ["tls://127.0.0.1:0"])
    runtimes = [
        Runtime(sources, listen=listen, host=Host(tls=pki.tls("runtime")), services=[heard])
        for heard in hearing.values()
    ]
    first, second = runtimes
    async with first, second:
        dialled = ",".join(first.addresses + second.addresses)
        links = NetworkLinks.parse(address if dials == "runtime" else "", dialled, pki.tls("kv"))
        async with serving(plugin, links):
            for runtime in (first, second, first):
                await in_state(runtime, "kv")
                name = "first" if runtime is first else "second"
                kv = runtime.client(KeyValueClient)
                await kv.get(GetRequest(key=name))
                async for _ in kv.watch(WatchRequest(key=name)):
                    pass
            await second.close()
            await first.client(KeyValueClient).get(GetRequest(key="first"))
            await until(lambda: links_of(plugin, 1))
            await service.audit.record(RecordRequest(event="outside"))  # To the runtime that is left.
    assert hearing["first"].heard == ["first"] * 5 + ["outside"]
    assert hearing["second"].heard == ["second"] * 2


def links_of(plugin: Plugin, count: int) -> bool:
    """Whether a plugin has so many links."""
    return len(plugin._connection._links) == count


async def test_of_two_addresses_of_one_runtime_one_rests(pki: Pki) -> None:
    async with new_runtime(pki) as runtime:
        port = runtime.addresses[0].rpartition(":")[2]
        links = NetworkLinks.parse("", f"tls://127.0.0.1:{port},tls://localhost:{port}", pki.tls("kv"))
        async with serving(new_plugin(), links):
            await until(lambda: links.resting == 1)
            await in_state(runtime, "kv")
            link = runtime.plugin("kv").link
            assert link is not None
            link.abort()  # Then the one that rests may dial as well.
            await until(lambda: links.resting == 1 and runtime.plugin("kv").link not in (None, link))


async def test_without_tls_on_loopback(pki: Pki) -> None:
    runtime = Runtime(listen=["tcp://127.0.0.1:0"])
    async with runtime, serving(new_plugin(), NetworkLinks.parse("", runtime.addresses[0], None)):
        await in_state(runtime, "kv")
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="x"))).value == b""


async def test_a_newer_link_of_the_same_process_wins_and_the_older_drains(pki: Pki) -> None:
    plugin = new_plugin()
    async with new_runtime(pki) as runtime, serving(plugin, dialling(pki, runtime)):
        await in_state(runtime, "kv")
        first = runtime.plugin("kv").link
        async with serving_again(plugin, dialling(pki, runtime)):
            await until(lambda: len(runtime.plugins()) == 1 and runtime.plugin("kv").link not in (None, first))
            assert first is not None
            await first.wait_closed()
            assert first.mux.reason is None


def serving_again(plugin: Plugin, links: NetworkLinks) -> Any:
    return serving(plugin, links)


async def test_a_name_that_the_certificate_does_not_grant_is_refused(pki: Pki) -> None:
    async with new_runtime(pki, identities={"kv": "spiffe://test/*/store"}) as runtime:
        events = runtime.events()
        async with serving(new_plugin(), dialling(pki, runtime)):
            event = await anext(events)
            assert event.plugin == "kv"
            assert (
                "its certificate is spiffe://test/kv, and the name 'kv' is granted to spiffe://test/*/store"
                in event.status
            )
        await events.aclose()


def test_an_address_that_is_looked_up_is_not_listened_at() -> None:
    assert NetworkAddress.parse("tls+dns://kv.example:1").is_looked_up
    with pytest.raises(ValueError, match="is to be dialled"):
        Runtime(listen=["tls+dns://kv.example:1"])


async def test_what_the_plugins_own_lifespan_raises_ends_it(pki: Pki) -> None:
    @asynccontextmanager
    async def lifespan(plugin: Plugin) -> AsyncIterator[None]:
        raise ValueError("no database")
        yield

    async with new_runtime(pki) as runtime, serving(new_plugin(lifespan=lifespan), dialling(pki, runtime)) as task:
        await asyncio.wait([task], timeout=60)
        with pytest.raises(ValueError, match="no database"):
            task.result()
