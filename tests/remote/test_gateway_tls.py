"""The gateway behind the TLS of an ASGI server: what that tells of client certificates, and what it does not."""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from plugmux.gateway.certificate import NOT_TOLD, identity_told_by
from plugmux.network.identity import UntrustedIdentity
from plugmux.network.tls import TLS
from support.gateway import PATH, PLUGIN, call, curl, running
from support.pki import Pki

TESTS = Path(__file__).parents[1]
CONFIG = """\
[tls]
directory = "{runtime}"

[[plugins]]
command = ["{python}", "{plugin}"]
name = "kv"

[allow]
"spiffe://test/web" = ["kv.v1.KeyValueService"]
"""


@pytest.fixture
def config(tmp_path: Path, pki: Pki) -> Path:
    (tmp_path / "store.py").write_text(PLUGIN)
    path = tmp_path / "plugmux.toml"
    path.write_text(
        CONFIG.format(runtime=pki.directory("runtime"), python=sys.executable, plugin=tmp_path / "store.py")
    )
    return path


def shown(pki: Pki, name: str, **options: Any) -> tuple[str, ...]:
    """The options of curl by which it shows a certificate."""
    folder = pki.directory(name, **options)
    return ("-k", "--cert", str(folder / "tls.crt"), "--key", str(folder / "tls.key"))


def served(lines: Iterator[str]) -> str:
    """The address that a server tells."""
    return next(word for line in lines for word in line.split() if word.startswith("https://127"))


def wait_for(url: str, *options: str) -> None:
    end = time.monotonic() + 60
    while curl(f"{url}/health", *options)[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.1)  # another process tells nobody: it is asked again


def test_a_certificate_that_the_server_tells_says_who_calls(config: Path, pki: Pki, tmp_path: Path) -> None:
    folder = pki.directory("server")
    foreign = Pki(tmp_path / "other")
    (folder / "ca.crt").write_bytes(pki.authority.pem + foreign.authority.pem)  # The server trusts more than `[tls]`.
    paths = os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))
    with running("-m", "support.asgi_tls", 0, folder, PLUGMUX_CONFIG=config, PYTHONPATH=paths) as server:
        assert server.stderr is not None
        url = served(server.stderr)
        wait_for(url, "-k")
        status, _, body = call(url, *shown(pki, "web"))
        assert (status, json.loads(body)) == (200, {"value": "eA=="}), body
        status, _, body = call(url, *shown(pki, "other"))
        assert (status, json.loads(body)["message"]) == (
            403,
            f"spiffe://test/other may not call /{PATH} here ([allow])",
        )
        status, _, body = call(url, "-k")
        assert (status, json.loads(body)["message"]) == (
            403,
            f"who does not say who it is may not call /{PATH} here ([allow])",
        )
        status, _, body = call(url, *shown(foreign, "web"))
        assert status == 401
        assert "its certificate is signed by no CA of " in json.loads(body)["message"]


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_a_server_that_does_not_tell_is_named_in_the_refusal(server: str, config: Path, pki: Pki) -> None:
    folder = pki.directory("server")
    files = {name: folder / name for name in ("tls.crt", "tls.key", "ca.crt")}
    with running(*SERVERS[server](files), PLUGMUX_CONFIG=config) as process:
        assert process.stderr is not None
        url = served(process.stderr)
        wait_for(url, *shown(pki, "web"))
        status, _, body = call(url, *shown(pki, "web"))
        told = f"who does not say who it is may not call /{PATH} here ([allow]); {NOT_TOLD}"
        assert (status, json.loads(body)["message"]) == (403, told)


def uvicorn(files: dict[str, Path]) -> Sequence[object]:
    certificate = ("--ssl-certfile", files["tls.crt"], "--ssl-keyfile", files["tls.key"])
    return (
        "-m",
        "uvicorn",
        "plugmux.asgi:app",
        "--port",
        0,
        *certificate,
        "--ssl-ca-certs",
        files["ca.crt"],
        *REQUIRED,
    )


def hypercorn(files: dict[str, Path]) -> Sequence[object]:
    certificate = ("--certfile", files["tls.crt"], "--keyfile", files["tls.key"], "--ca-certs", files["ca.crt"])
    return (
        "-m",
        "hypercorn",
        "plugmux.asgi:app",
        "--bind",
        "127.0.0.1:0",
        *certificate,
        "--verify-mode",
        "CERT_REQUIRED",
    )


REQUIRED = ("--ssl-cert-reqs", int(ssl.CERT_REQUIRED), "--no-proxy-headers")
SERVERS = {"uvicorn": uvicorn, "hypercorn": hypercorn}


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
@pytest.mark.parametrize(
    ("variables", "told"),
    [({}, "reads the TOML file that PLUGMUX_CONFIG names"), ({"PLUGMUX_CONFIG": "/no/such.toml"}, "/no/such.toml: ")],
)
def test_a_wrong_configuration_fails_the_start(
    server: str, variables: dict[str, str], told: str, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLUGMUX_CONFIG", raising=False)
    folder = pki.directory("server")
    files = {name: folder / name for name in ("tls.crt", "tls.key", "ca.crt")}
    with running(*SERVERS[server](files), **variables) as process:
        assert process.stderr is not None
        assert told in process.stderr.read()
        process.wait(60)


# -- what cannot be checked -------------------------------------------------------------------------------------------


def pem(pki: Pki, name: str = "web", **options: Any) -> str:
    return (pki.directory(name, **options) / "tls.crt").read_text()


def test_the_identity_is_that_of_the_first_certificate(pki: Pki) -> None:
    tls = pki.tls("runtime")
    told = {"client_cert_chain": [pem(pki), pki.authority.pem.decode()]}
    assert identity_told_by(told, tls) == "spiffe://test/web"
    assert identity_told_by({"client_cert_chain": []}, tls) == ""
    assert identity_told_by({}, tls) == ""


def test_what_cannot_be_checked_is_refused(pki: Pki, tmp_path: Path) -> None:
    tls, foreign = pki.tls("runtime"), Pki(tmp_path / "other")
    past, day = datetime.now(UTC) - timedelta(days=9), timedelta(days=1)
    table: list[tuple[dict[str, Any], str]] = [
        ({"client_cert_error": "expired"}, "the ASGI server did not accept the client certificate: 'expired'"),
        ({"client_cert_name": "CN=web"}, "tells the subject of the client certificate, and not what it says"),
        ({"client_cert_chain": ["nonsense"]}, "a client certificate that cannot be read"),
        ({"client_cert_chain": [pem(pki)] * 9}, "has more than 8 others with it"),
        ({"client_cert_chain": ["x" * 20_000]}, "or is too large"),
        ({"client_cert_chain": [pem(foreign)]}, "its certificate is signed by no CA of "),
        ({"client_cert_chain": [pem(foreign), foreign.authority.pem.decode()]}, "is signed by no CA of "),
        # Who has a certificate of the CA is none.
        ({"client_cert_chain": [pem(foreign), pem(pki, "operator")]}, "is signed by no CA of "),
        ({"client_cert_chain": [pem(pki, usages=["servers"])]}, "its certificate is not for clients"),
        ({"client_cert_chain": [pem(pki, begins=past, lifetime=day)]}, "its certificate has expired"),
        (
            {"client_cert_chain": [pem(pki, begins=datetime.now(UTC) + timedelta(hours=1))]},
            "its certificate is not valid yet",
        ),
    ]
    for told, why in table:
        with pytest.raises(UntrustedIdentity, match=why):
            identity_told_by(told, tls)
    with pytest.raises(UntrustedIdentity, match=r"it needs \[tls\]"):
        identity_told_by({"client_cert_chain": [pem(pki)]}, None)


def made(
    name: str, signer: tuple[Any, Any] | None, *extensions: tuple[x509.ExtensionType, bool]
) -> tuple[x509.Certificate, Any]:
    """A certificate of that identity and its key, signed by another such pair, or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder(extensions=[x509.Extension(each.oid, critical, each) for each, critical in extensions])
        .subject_name(subject)
        .issuer_name(signer[0].subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
    )
    return builder.sign(signer[1] if signer else key, hashes.SHA256()), key


def written(*certificates: x509.Certificate) -> list[str]:
    return [each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates]


WEB = (x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://test/web")]), True)
CA = (x509.BasicConstraints(ca=True, path_length=None), True)
LAST_CA = (x509.BasicConstraints(ca=True, path_length=0), True)
SIGNS_NO_CERTIFICATES = (
    x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    ),
    True,
)
ELSEWHERE = (x509.NameConstraints([x509.DNSName("elsewhere.example")], None), True)
SAID_SOFTLY = (ELSEWHERE[0], False)
OF_SERVERS = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
OF_CLIENTS = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
UNSIGNED, LIMITED = "is signed by no CA of ", "a CA above its certificate has limits that the gateway cannot check"
NOT_FOR_CLIENTS = "a CA above its certificate is not for clients"
CHAINS: dict[str, tuple[list[Any], list[Any], str]] = {
    "a CA between": ([CA], [CA], ""),
    "the last CA between": ([CA], [LAST_CA], ""),
    "CAs of clients": ([CA, OF_CLIENTS], [CA, OF_CLIENTS], ""),
    "under the last CA": ([LAST_CA], [CA], UNSIGNED),
    "no CA": ([CA], [], UNSIGNED),
    "signs none": ([CA], [CA, SIGNS_NO_CERTIFICATES], UNSIGNED),
    "limits": ([CA], [CA, ELSEWHERE], LIMITED),
    "limits of the trusted CA": ([CA, ELSEWHERE], [CA], LIMITED),
    "limits that are not critical": ([CA], [CA, SAID_SOFTLY], LIMITED),
    "a CA of servers": ([CA], [CA, OF_SERVERS], NOT_FOR_CLIENTS),
    "a trusted CA of servers": ([CA, OF_SERVERS], [CA], NOT_FOR_CLIENTS),
}


def accepted_by_openssl(tls: TLS, chain: Path) -> bool:
    """Whether a server with these settings ends a handshake with a client that shows this chain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(chain)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = context.wrap_bio(down, up), tls.server_context().wrap_bio(up, down, server_side=True)
    for _ in range(2):
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return False
        return True
    raise AssertionError("the handshake has not ended")


def told_and_shown(
    pki: Pki, folder: Path, root: list[Any], between: list[Any], **options: Any
) -> tuple[Any, TLS, Path]:
    """A chain of three, as a server tells it; settings that trust its first; and a file by which a client shows it."""
    top = made("top", None, *root)
    middle = made("middle", top, *between)
    own, key = made("web", middle, WEB)
    chain = written(own, middle[0])
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    shown = folder / "shown.pem"
    shown.write_text("".join(chain) + secret.decode())
    settings = TLS.directory(pki.directory("runtime", ca=written(top[0])[0].encode()))
    return {"client_cert_chain": chain}, settings, shown


@pytest.mark.parametrize(("root", "between", "why"), CHAINS.values(), ids=CHAINS)
def test_a_ca_between_signs_within_its_limits_and_openssl_agrees(
    root: list[Any], between: list[Any], why: str, pki: Pki, tmp_path: Path
) -> None:
    told, tls, shown = told_and_shown(pki, tmp_path, root, between)
    # Limits of names are OpenSSL's to check. These are of other names, and it takes the chain.
    assert accepted_by_openssl(tls, shown) == (why in ("", LIMITED))
    if not why:
        assert identity_told_by(told, tls) == "spiffe://test/web"
        return
    with pytest.raises(UntrustedIdentity, match=why):
        identity_told_by(told, tls)
