"""Addresses besides 127.0.0.1, in each language: of IPv6, and of TCP without TLS that may leave the machine."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import Host, Permissions, Remote, Runtime
from support.pki import Pki
from support.remote import in_state
from support.tools import LANGUAGES, example_plugin

# On Linux a connection to it leads to this machine, though it is no address of loopback.
ANY = "0.0.0.0"


@asynccontextmanager
async def started(language: str, **environ: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the example plugin of a language, which starts by itself."""
    process = await asyncio.create_subprocess_exec(
        *example_plugin(language),
        env=os.environ | {name: str(value) for name, value in environ.items()},
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def port_of(host: str) -> int:
    """A free port of an address."""
    with socket.socket(socket.AF_INET6) as free:
        free.bind((host, 0))
        port: int = free.getsockname()[1]
        return port


async def called(runtime: Runtime, name: str) -> None:
    await in_state(runtime, name)
    client = runtime.client(KeyValueClient, plugin=name)
    await client.put(PutRequest(key="a", value=b"b"))
    assert (await client.get(GetRequest(key="a"))).value == b"b"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("dials", ["plugin", "runtime"])
async def test_a_link_over_ipv6(dials: str, language: str, pki: Pki) -> None:
    name = f"{language}-plugin"
    host = Host(tls=pki.tls("runtime"))
    certificate = pki.directory("kv", hosts=["::1"])
    if dials == "plugin":
        granted = Permissions(identities={name: "spiffe://test/kv"})
        async with (
            Runtime(listen=["tls://[::1]:0"], host=host, permissions=granted) as runtime,
            started(language, PLUGMUX_SOCKET=runtime.addresses[0], PLUGMUX_TLS_DIR=certificate),
        ):
            assert runtime.addresses[0].startswith("tls://[::1]:")
            await called(runtime, name)
        return
    address = f"tls://[::1]:{port_of('::1')}"
    remote = Remote(address, name=name, identity="spiffe://test/kv")
    async with (
        started(language, PLUGMUX_LISTEN=address, PLUGMUX_TLS_DIR=certificate),
        Runtime([remote], host=host) as runtime,
    ):
        await called(runtime, name)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_tcp_without_tls_leaves_loopback_only_where_that_is_said(language: str) -> None:
    name = f"{language}-plugin"
    async with Runtime(listen=[f"tcp://{ANY}:0"], permissions=Permissions(insecure_tcp=True)) as runtime:
        address = runtime.addresses[0]
        async with started(language, PLUGMUX_SOCKET=address) as refused:
            _, said = await refused.communicate()
            assert refused.returncode
            assert b"PLUGMUX_INSECURE_TCP=1" in said
        async with started(language, PLUGMUX_SOCKET=address, PLUGMUX_INSECURE_TCP=1):
            await called(runtime, name)
