"""The PROXY protocol as HAProxy speaks it: the address of a plugin behind it is the plugin's own. (`make network`)"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from plugmux import Host, Permissions, Runtime
from plugmux.plugin.network import NetworkLinks
from support.kv_store import kv_plugin
from support.pki import Pki
from support.remote import in_state, serving
from support.tools import tool


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


def own_end(link: object) -> tuple[str, int]:
    transport = link.mux._transport  # type: ignore[attr-defined]  # no part of the interface
    name: tuple[str, int] = transport.get_extra_info("sockname")
    return name


def write_configuration(directory: Path, front: int, back: int) -> Path:
    configuration = directory / "haproxy.conf"
    configuration.write_text(f"""
defaults
  timeout connect 9s
  timeout client 60s
  timeout server 60s
listen tcp
  mode tcp
  bind 127.0.0.2:{front}
  server s 127.0.0.1:{back} send-proxy-v2 source 127.0.0.1
""")
    return configuration


async def test_a_plugin_dials_through_haproxy_and_keeps_its_address(pki: Pki, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        front = free.getsockname()[1]
    believed = Permissions(proxies=["127.0.0.1"])
    async with Runtime(
        listen=["tls://127.0.0.1:0"], permissions=believed, host=Host(tls=pki.tls("runtime"))
    ) as runtime:
        back = int(runtime.addresses[0].rpartition(":")[2])
        configuration = write_configuration(tmp_path, front, back)
        proxy = await asyncio.create_subprocess_exec(tool("haproxy"), "-f", configuration)
        try:
            tls = pki.tls("kv", peers=["spiffe://test/runtime"])
            plugin = kv_plugin()
            async with serving(plugin, NetworkLinks.parse("", f"tls://127.0.0.2:{front}", tls)):
                await in_state(runtime, "kv")
                peer = runtime.plugin("kv").peer
                assert peer is not None
                link = plugin._connection.link
                assert link is not None
                # The plugin's own end of the connection: HAProxy's to the runtime has another port.
                assert peer.address == "{}:{}".format(*own_end(link))
                assert peer.identity == "spiffe://test/kv"
        finally:
            proxy.terminate()
            await proxy.wait()
