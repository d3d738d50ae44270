"""A runtime whose plugins (200 by `make faults`) lose their links at once: all link again, and none is left out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Host, Permissions, Plugin, Runtime
from plugmux.plugin import Traits
from plugmux.plugin.network import NetworkLinks
from plugmux.runtime import State
from support.kv_store import Store
from support.pki import Pki
from support.remote import serving, until
from support.scale import scaled

PLUGINS = scaled(200, 50)


@pytest.fixture
async def runtime(pki: Pki) -> AsyncIterator[Runtime]:
    permissions, host = Permissions(replicated=["kv"]), Host(tls=pki.tls("runtime"))
    async with Runtime(listen=["tls://127.0.0.1:0"], permissions=permissions, host=host) as made:
        yield made


def linked(runtime: Runtime) -> int:
    return sum(plugin.state is State.RUNNING for plugin in runtime.plugins())


async def test_plugins_that_lose_their_links_at_once_link_again(runtime: Runtime, pki: Pki) -> None:
    tls = pki.tls("kv")
    async with AsyncExitStack() as running:
        for _ in range(PLUGINS):
            plugin = Plugin(Store(a=b"1"), name="kv", traits=Traits(replica=True))
            await running.enter_async_context(serving(plugin, NetworkLinks.parse("", runtime.addresses[0], tls)))
        await until(lambda: linked(runtime) == PLUGINS)
        before = [plugin._record.link for plugin in runtime.plugins()]
        for link in before:
            assert link is not None
            link.abort()
        await until(lambda: linked(runtime) < PLUGINS)
        await until(lambda: linked(runtime) == PLUGINS)
        after = [plugin._record.link for plugin in runtime.plugins()]
        assert len(after) == PLUGINS  # None is left behind by a link of before.
        assert not set(map(id, before)) & set(map(id, after))
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="a"))).value == b"1"
