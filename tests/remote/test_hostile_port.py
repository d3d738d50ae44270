"""What comes to a port of the network that is no plugin: it costs little, is told, and keeps nobody out."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator

import pytest

from plugmux import Host, Runtime
from plugmux.network.listener import NetworkListener
from plugmux.plugin.network import NetworkLinks
from plugmux.runtime.socket.network import NetworkSocket
from support.kv_store import kv_plugin
from support.pki import Pki
from support.remote import in_state, serving
from support.strangers import SCAN


@pytest.fixture
async def runtime(pki: Pki) -> AsyncIterator[Runtime]:
    async with Runtime(listen=["tls://127.0.0.1:0"], host=Host(tls=pki.tls("runtime"))) as runtime:
        yield runtime


def port(runtime: Runtime) -> int:
    return int(runtime.addresses[0].rpartition(":")[2])


async def run(*command: str, stdin: bytes = b"") -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 60)
    return out.decode(errors="replace"), err.decode(errors="replace")


async def test_idle_connections_keep_nobody_out(runtime: Runtime, pki: Pki) -> None:
    address = ("127.0.0.1", port(runtime))
    idle = [socket.create_connection(address) for _ in range(600)]
    half = [socket.create_connection(address) for _ in range(400)]
    try:
        for connection in half:
            connection.send(b"\x16\x03\x01\x02\x00")  # the beginning of a handshake
        plugin = kv_plugin()
        async with serving(plugin, NetworkLinks.parse("", runtime.addresses[0], pki.tls("kv"))):
            await in_state(runtime, "kv")
            # As many as there may be are left: of the silent ones, and of those that have begun.
            assert len(listener_of(runtime)._silent) <= 256
            assert len(listener_of(runtime)._handshakes) <= 128
    finally:
        for connection in idle + half:
            connection.close()


def listener_of(runtime: Runtime) -> NetworkListener:
    assert runtime._sockets is not None
    listening = runtime._sockets._listeners[0]
    assert isinstance(listening, NetworkSocket)
    return listening._listener


async def test_a_port_scan_is_told_in_few_lines(runtime: Runtime, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    where = ("127.0.0.1", port(runtime))
    for _ in range(50):
        for say in SCAN:
            _, writer = await asyncio.open_connection(*where)
            writer.write(say)
            await writer.drain()
            writer.close()
    async with serving(kv_plugin(), NetworkLinks.parse("", runtime.addresses[0], pki.tls("kv"))):
        await in_state(runtime, "kv")
    assert len(caplog.records) < 4 * len(SCAN), [record.message for record in caplog.records]


async def test_plain_http_is_told_what_the_port_wants(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    out, _ = await run("curl", "-s", f"http://127.0.0.1:{port(runtime)}/health")
    assert out == "this port wants TLS\n"
    assert "it does not speak TLS" in caplog.text


async def test_older_versions_of_tls_are_refused(runtime: Runtime, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    where = f"127.0.0.1:{port(runtime)}"
    out, err = await run("openssl", "s_client", "-connect", where, "-tls1_2")
    assert "alert protocol version" in out + err
    assert "it speaks no TLS 1.3" in caplog.text


async def test_openssl_and_curl_talk_to_the_port(runtime: Runtime, pki: Pki) -> None:
    folder = pki.directory("operator")
    files = {name: str(folder / name) for name in ("tls.crt", "tls.key", "ca.crt")}
    where = f"127.0.0.1:{port(runtime)}"
    shown = ("-cert", files["tls.crt"], "-key", files["tls.key"], "-CAfile", files["ca.crt"])
    out, err = await run(
        "openssl",
        "s_client",
        "-connect",
        where,
        *shown,
        "-alpn",
        "plugmux/1",
        "-verify_return_error",
        "-quiet",
        stdin=b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    assert "HTTP/1.1 200" in out, err
    certificate = ("--cert", files["tls.crt"], "--key", files["tls.key"], "--cacert", files["ca.crt"])
    out, err = await run("curl", "-s", *certificate, f"https://{where}/health")
    assert out == "ok", err
    out, err = await run("curl", "-s", "-X", "POST", *certificate, f"https://{where}/kv.v1.KeyValueService/Get")
    assert "may not call /kv.v1.KeyValueService/Get here (Permissions.allow)" in out
    out, err = await run("curl", "-sS", "--cacert", files["ca.crt"], f"https://{where}/health")
    assert "certificate required" in err
