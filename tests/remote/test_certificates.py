"""Twenty wrong certificates: each is refused with a message of its own, by the end that checks and by the end that
shows it."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from plugmux import TLS, ConfigError, Host, Permissions, Runtime
from plugmux.contract.address import NetworkAddress
from plugmux.errors import PlugmuxError
from plugmux.link.app import LinkApp
from plugmux.link.hijack import dial_link
from plugmux.link.link import Link, Peer
from plugmux.network import authority as made_by
from plugmux.network.identity import UntrustedIdentity, grants, patterns_of
from plugmux.network.listener import NetworkListener
from plugmux.network.remote_end import RemoteEnd, accept_runtime
from support.pki import Pki

LONG_AGO = datetime.now(UTC) - timedelta(days=30)
SOON = datetime.now(UTC) + timedelta(days=5)


@dataclass(frozen=True)
class Wrong:
    """A wrong certificate.

    Args:
        name: what is wrong.
        make: makes it, in a directory.
        here: what the end says that checks it.
        there: what the end says that has shown it.
        by: who shows it: who dials, or who listens.
    """

    name: str
    make: Callable[[Pki], Path]
    here: str
    there: str
    by: str = "dialler"


def named(*names: x509.GeneralName) -> Callable[[Pki], Path]:
    """A certificate with other subject alternative names."""

    def make(pki: Pki) -> Path:
        pki.authority.names_of = lambda name, hosts, path="": list(names)  # type: ignore[method-assign]
        return pki.directory("kv", at="wrong")

    return make


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def foreign(pki: Pki) -> Path:
    other = Pki(pki.folder / "other")
    return other.directory("kv", ca=pki.authority.pem)


def self_signed(pki: Pki) -> Path:
    folder = pki.folder / "self"
    alone = made_by.Authority.create("test")
    made_by.save(made_by.Issued(alone.pem, made_by._key_pem(alone._key)), pki.authority.pem, folder)
    return folder


def issued(**options: Any) -> Callable[[Pki], Path]:
    return lambda pki: pki.directory("kv", at="wrong", **options)


REFUSED = "it refused our certificate"
EXPIRED = issued(begins=LONG_AGO, lifetime=timedelta(days=1))
NOT_YET = issued(begins=SOON)
ADDRESS = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
WILD, HOST = x509.DNSName("*.example"), x509.DNSName("other.example")
CONNECTED = "403: "
WRONG = [
    Wrong("expired", EXPIRED, "its certificate has expired", f"{REFUSED}: it has expired, by its clock"),
    Wrong("not valid yet", NOT_YET, "its certificate is not valid yet", f"{REFUSED}: it is not valid, by its clock"),
    Wrong("foreign", foreign, "is signed by no CA of .*ca.crt", f"{REFUSED} .*test/kv.*: it trusts another CA"),
    Wrong("self-signed", self_signed, "is self-signed, and not one of", f"{REFUSED}.*: it trusts another CA"),
    Wrong(
        "for servers",
        issued(usages=["servers"]),
        "may not be used by a client",
        f"{REFUSED} .*for servers: its extended key usage does not fit",
    ),
    Wrong("no name", named(ADDRESS), "neither a SPIFFE id nor a DNS name", f"{CONNECTED}.*neither a SPIFFE id"),
    Wrong("wildcard", named(WILD), r"names only \*.example", rf"{CONNECTED}.*names only \*.example"),
    Wrong("two ids", named(uri("spiffe://test/kv"), uri("spiffe://test/x")), "has 2 SPIFFE ids", f"{CONNECTED}.*has 2"),
    Wrong("bad id", named(uri("spiffe://test/kv/")), "SPIFFE id that is not valid", f"{CONNECTED}.*not valid"),
    Wrong("other id", named(uri("spiffe://test/other")), "is spiffe://test/other", f"{CONNECTED}.*spiffe://test/other"),
    Wrong("other host", named(HOST), "is other.example, and", f"{CONNECTED}.*other.example"),
    Wrong("other domain", named(uri("spiffe://elsewhere/kv")), "is spiffe://elsewhere/kv", f"{CONNECTED}.*elsewhere"),
    Wrong("expired", EXPIRED, "its certificate has expired", "it refused our certificate: .*expired", "listener"),
    Wrong("not valid yet", NOT_YET, "its certificate is not valid yet", f"{REFUSED}: it is not valid", "listener"),
    Wrong("foreign", foreign, "is signed by no CA of .*ca.crt", f"{REFUSED}.*: it trusts another CA", "listener"),
    Wrong("self-signed", self_signed, "is self-signed", f"{REFUSED}.*: it trusts another CA", "listener"),
    Wrong("for clients", issued(usages=["clients"]), "may not be used by a server", f"{REFUSED}.*usage", "listener"),
    Wrong("no name", named(ADDRESS), "neither a SPIFFE id nor a DNS name; expected", "", "listener"),
    Wrong("wildcard", named(WILD), r"names only \*.example, .*; expected", "", "listener"),
    Wrong("other id", named(uri("spiffe://test/x")), "is spiffe://test/x; expected .*'runtime'", "", "listener"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.by}: {wrong.name}")
async def test_a_wrong_certificate_is_refused_at_both_ends(wrong: Wrong, tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    right = TLS.directory(pki.directory("runtime" if wrong.by == "dialler" else "kv"))
    shown = TLS.directory(wrong.make(pki))
    here: list[str] = []
    there: list[str] = []
    listener_tls, dialler_tls = (right, shown) if wrong.by == "dialler" else (shown, right)
    told_by_listener, told_by_dialler = (here, there) if wrong.by == "dialler" else (there, here)

    def expect(end: RemoteEnd) -> None:
        accept_runtime(end, (), "runtime.elsewhere")

    with_listener = Checking(listener_tls, told_by_listener)
    await with_listener.start()
    link = Link(LinkApp([]), initiator=True, peer=Peer("x"))
    try:
        with pytest.raises(PlugmuxError) as caught:
            await dial_link(link, with_listener.address, dialler_tls, expect)
        told_by_dialler.append(str(caught.value))
        if wrong.there and wrong.by == "listener":
            async with asyncio.timeout(30):
                while not there:
                    await asyncio.sleep(0.01)
    finally:
        await with_listener.close()
        await link.close(0)
    assert any(re.search(wrong.here, line) for line in here), here
    assert not wrong.there or any(re.search(wrong.there, line) for line in there), there
    assert "PRIVATE" not in " ".join(here + there)


@pytest.mark.parametrize("line", ["POST /plugins.v1.PluginManagementService/ListPlugins", "GET /metrics"])
async def test_a_certificate_that_names_nobody_has_not_even_what_everybody_may_have(line: str, tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    host = Host(tls=pki.tls("runtime"))
    nameless = TLS.directory(named(ADDRESS)(pki))
    everybody = Permissions(allow={"*": ["observe"]})
    async with Runtime(listen=["tls://127.0.0.1:0"], host=host, permissions=everybody) as runtime:
        port = int(runtime.addresses[0].rpartition(":")[2])
        context = nameless.client_context()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
        kind = "Content-Type: application/proto\r\nContent-Length: 0\r\n"
        writer.write(f"{line} HTTP/1.1\r\nHost: a\r\n{kind}\r\n".encode())
        assert (await reader.readline()).split()[1] == b"403"
        writer.transport.abort()


class Checking:
    """Listens, and answers a hijack as the runtime does where the certificate is refused."""

    def __init__(self, tls: TLS, told: list[str]) -> None:
        self._told = told
        address = NetworkAddress.parse("tls://127.0.0.1:0")
        self._listener = NetworkListener(address, tls, self._serve, lambda kind, text: told.append(text))

    async def start(self) -> None:
        await self._listener.start()
        self.address = self._listener.address

    async def close(self) -> None:
        await self._listener.close()

    def _serve(self, end: RemoteEnd) -> asyncio.Protocol:
        why = end.why
        if not why:
            try:
                grants(end.identity, "kv", patterns_of({"kv": "spiffe://test/kv"}))
            except UntrustedIdentity as error:
                why = str(error)
        self._told.append(why)
        return Refusing(why)


class Refusing(asyncio.Protocol):
    def __init__(self, why: str) -> None:
        self._why = why

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        body = self._why.encode()
        self._transport.write(b"HTTP/1.1 403 No\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


async def test_a_certificate_that_the_map_no_longer_has_is_refused(pki: Pki) -> None:
    identities = patterns_of({"vault": "spiffe://test/vault"})
    with pytest.raises(UntrustedIdentity, match=r"granted to nobody: Permissions.identities does not have the name"):
        grants("spiffe://test/kv", "kv", identities)


def test_a_key_of_another_certificate_is_told(pki: Pki, tmp_path: Path) -> None:
    one, other = pki.directory("kv"), pki.directory("other")
    with pytest.raises(ConfigError, match="are not a PEM certificate and its key"):
        TLS(one / "tls.crt", other / "tls.key", one / "ca.crt")
    with pytest.raises(ConfigError, match="holds no PEM certificates of CAs"):
        TLS(one / "tls.crt", one / "tls.key", one / "tls.key")
    with pytest.raises(ConfigError, match=r"missing.crt: (No such file|File not found|The system cannot find)"):
        TLS(tmp_path / "missing.crt", one / "tls.key", one / "ca.crt")


def test_a_certificate_near_its_end_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pki = Pki(tmp_path)
    begins = datetime.now(UTC) - timedelta(days=3)
    TLS.directory(pki.directory("kv", begins=begins, lifetime=timedelta(days=4)))
    assert "ends in 24.0 h and has not been renewed" in caplog.text or "ends in 23.9 h" in caplog.text


def test_a_renewal_that_cannot_be_used_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pki = Pki(tmp_path)
    folder = pki.directory("kv")
    tls = TLS.directory(folder)
    before = tls.client_context()
    assert tls.client_context() is before
    (folder / "tls.crt").write_bytes(pki.directory("other").joinpath("tls.crt").read_bytes())
    assert tls.client_context() is before
    assert "the certificate was not renewed: " in caplog.text
    assert "the one in use is valid until" in caplog.text
    pki.directory("kv")
    assert tls.client_context() is not before


def test_contexts_that_are_not_strict_are_refused() -> None:
    import ssl

    context = ssl.create_default_context()
    with pytest.raises(ConfigError, match=r"versions before TLS 1.3"):
        TLS(contexts=(context, context))
