"""Links over a network in uvloop, on Windows in winloop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Host, Remote, Runtime
from plugmux.contract.address import NetworkAddress, parse_address
from plugmux.network import listener
from plugmux.network.listener import NetworkListener
from plugmux.platform import accepting
from plugmux.plugin.network import NetworkLinks
from support.kv_store import kv_plugin
from support.pki import Pki
from support.remote import in_state, serving, until
from support.tools import ON_WINDOWS


def test_both_ways_of_dialling(tmp_path: Path, unused_tcp_port: int) -> None:
    uvloop = import_module("winloop" if ON_WINDOWS else "uvloop")
    pki = Pki(tmp_path)

    async def dialled() -> None:
        runtime = Runtime(listen=["tls://127.0.0.1:0"], host=Host(tls=pki.tls("runtime")))
        async with runtime, serving(kv_plugin(a=b"1"), NetworkLinks.parse("", runtime.addresses[0], pki.tls("kv"))):
            await in_state(runtime, "kv")
            assert (await runtime.client(KeyValueClient).get(GetRequest(key="a"))).value == b"1"

    async def listening() -> None:
        address = f"tls://127.0.0.1:{unused_tcp_port}"
        runtime = Runtime([Remote(address, name="kv")], host=Host(tls=pki.tls("runtime")))
        async with serving(kv_plugin(a=b"1"), NetworkLinks.parse(address, "", pki.tls("kv"))), runtime:
            client = runtime.client(KeyValueClient, plugin="kv")
            assert (await client.get(GetRequest(key="a"), timeout=50)).value == b"1"

    uvloop.run(dialled())
    uvloop.run(listening())


@pytest.mark.parametrize(
    ("module", "bound", "ended"), [(accepting, "MAX_CONNECTIONS", 1), (listener, "MAX_STRANGERS", 0)]
)
def test_connections_are_bounded(module: ModuleType, bound: str, ended: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than a caller may have is refused, and one more of strangers ends the oldest."""
    monkeypatch.setattr(module, bound, 1)
    failures: list[Any] = []

    async def end(reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            assert await reader.read() == b""

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, failure: failures.append(failure))
        address = parse_address("tcp://127.0.0.1:0")
        assert isinstance(address, NetworkAddress)
        listening = NetworkListener(
            address, None, lambda end: asyncio.Protocol(), lambda kind, line: None, admits_strangers=True
        )
        await listening.start()
        first = await asyncio.open_connection("127.0.0.1", listening.address.port)
        first[1].write(b"a")
        await until(lambda: listening._strangers)
        second = await asyncio.open_connection("127.0.0.1", listening.address.port)
        second[1].write(b"a")
        await end((first, second)[ended][0])
        await listening.close()
        await end((second, first)[ended][0])
        for _, writer in (first, second):
            writer.transport.abort()

    import_module("winloop" if ON_WINDOWS else "uvloop").run(bounded())
    assert failures == []
