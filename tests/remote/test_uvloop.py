"""Links over a network in uvloop, on Windows in winloop."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Host, Remote, Runtime
from plugmux.plugin.network import NetworkLinks
from support.kv_store import kv_plugin
from support.pki import Pki
from support.remote import in_state, serving
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
