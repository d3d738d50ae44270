"""The PROXY protocol, version 2: a named proxy tells whose connection it passes on, and nobody else may."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from plugmux import Host, Permissions, Runtime
from plugmux.errors import ConfigError
from plugmux.network.proxy_header import ProxyHeader, ProxyHeaderError, is_within, networks
from support.pki import Pki
from support.remote import until
from support.strangers import CLIENT_HELLO

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
BOTH = socket.inet_aton("192.0.2.9") + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 51812, 7443)


def header(head: bytes = b"\x21\x11", content: bytes = BOTH) -> bytes:
    return SIGNATURE + head + struct.pack("!H", len(content)) + content


def read(data: bytes, at_once: int = 1000) -> tuple[ProxyHeader, bytes]:
    parsed = ProxyHeader()
    while parsed.wanted and data:
        size = min(parsed.wanted, at_once)
        parsed.feed(data[:size])
        data = data[size:]
    return parsed, data


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_the_source_is_read_and_nothing_behind_it(at_once: int) -> None:
    parsed, rest = read(header(content=BOTH + b"\x20\x00\x02\x01\x00") + b"\x16\x03", at_once)
    assert parsed.source == ("192.0.2.9", 51812)
    assert rest == b"\x16\x03"
    six = socket.inet_pton(socket.AF_INET6, "fd00::9") + bytes(16) + struct.pack("!HH", 1, 2)
    assert read(header(b"\x21\x21", six), at_once)[0].source == ("fd00::9", 1)
    assert read(header(b"\x20\x00", b""), at_once)[0].source is None  # The proxy looks whether somebody listens.


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaa", "sent no header"),
        (b"PROXY TCP4 192.0.2.9 10.0.0.1 1 2\r\n", "sent no header"),
        (header(b"\x11\x11"), "version and command 0x11"),
        (header(b"\x22\x11"), "version and command 0x22"),
        (header(b"\x21\x31"), "family 0x31"),
        (header(b"\x21\x12"), "family 0x12"),
        (header(b"\x21\x21"), "ends before its addresses do"),
        (header(content=b""), "ends before its addresses do"),
        (SIGNATURE + b"\x21\x11\x04\x01", "1025 bytes, over the limit of 1024"),
    ],
)
def test_what_is_no_header_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ProxyHeaderError, match=why):
        read(data)
    with pytest.raises(ProxyHeaderError, match=why):
        read(data, 1)


def test_networks_are_named_by_address_or_prefix() -> None:
    those = networks(["10.0.0.5", "10.1.0.0/16", "fd00::/8"])
    inside = [("10.0.0.5", 1), ("::ffff:10.1.2.3", 1, 0, 0), ("fd00::1", 1, 0, 0)]
    assert [is_within(name, those) for name in (*inside, ("10.0.0.6", 1), ("fe80::1%eth0", 1, 0, 2))] == [True] * 3 + [
        False
    ] * 2
    with pytest.raises(ConfigError, match="write an address, or a network"):
        networks(["proxy.example"])
    with pytest.raises(ConfigError, match=r"Permissions\.proxies is one string"):
        Permissions(proxies="10.0.0.5")


@pytest.fixture
async def runtime(pki: Pki) -> AsyncIterator[Runtime]:
    believed = Permissions(proxies=["127.0.0.1"])
    async with Runtime(listen=["tls://127.0.0.1:0"], permissions=believed, host=Host(tls=pki.tls("runtime"))) as made:
        yield made


def port(runtime: Runtime) -> int:
    return int(runtime.addresses[0].rpartition(":")[2])


async def test_a_proxy_that_sends_no_header_is_refused(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    for data in (b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n", SIGNATURE + b"\x21\x11\xff\xff"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port(runtime))
        writer.write(data)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
    await until(lambda: "it sent no header of the PROXY protocol" in caplog.text)


async def test_nobody_else_is_believed(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    for proxies in ([], ["192.0.2.1"]):
        permissions, host = Permissions(proxies=proxies), Host(tls=pki.tls("runtime"))
        async with Runtime(listen=["tls://127.0.0.1:0"], permissions=permissions, host=host) as runtime:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(runtime))
            writer.write(header())
            with suppress(ConnectionResetError):
                assert b"192.0.2.9" not in await reader.read()
            writer.close()
    assert "it does not speak TLS" in caplog.text
    assert "192.0.2.9" not in caplog.text


async def test_a_header_that_is_replayed_counts_for_nothing(
    runtime: Runtime, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    """Through the proxy, it comes behind that of the proxy, where TLS begins; past the proxy, nobody reads it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port(runtime))
    replayed = header(content=socket.inet_aton("192.0.2.66") + BOTH[4:])
    writer.write(header() + replayed + CLIENT_HELLO)
    with suppress(ConnectionResetError):
        await reader.read()
    writer.close()
    await until(lambda: "it does not speak TLS" in caplog.text)
    assert "refused a connection of 192.0.2.9:51812" in caplog.text
    assert "192.0.2.66" not in caplog.text
    caplog.clear()
    async with Runtime(listen=["tls://127.0.0.1:0"], host=Host(tls=pki.tls("runtime"))) as other:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(other))
        writer.write(replayed + CLIENT_HELLO)
        with suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        await until(lambda: "it does not speak TLS" in caplog.text)
        assert "192.0.2.66" not in caplog.text
