"""A CA of one's own: makes certificates for runtimes and plugins. It needs the extra `plugmux[pki]`.

A directory holds `ca.crt` and `ca.key`, and for each name a directory with `tls.crt`, `tls.key` and `ca.crt`, which
`TLS.directory` reads. Keys are ECDSA P-256 or Ed25519; their files have mode 0600 from the moment they exist.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..errors import ConfigError
from .description import fingerprint, x509_module

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["Authority", "Issued", "save"]

PRIVATE = 0o600
PUBLIC = 0o644
DIRECTORY = 0o700
SKEW = timedelta(minutes=5)
"""How long before now a certificate begins, for machines whose clocks are behind."""

NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
MAX_CSR = 16 * 1024
MAX_TOLD = 128
"""Characters of a name of a peer's that an error repeats."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate, and its key where that was made here.

    Args:
        certificate: PEM.
        key: PEM; empty where the key is somebody else's.
    """

    certificate: bytes
    key: bytes = field(default=b"", repr=False)


class Authority:
    """A CA: its certificate and its key.

    Args:
        certificate: its certificate.
        key: its key.
    """

    def __init__(self, certificate: Certificate, key: Any) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, trust_domain: str = "plugmux", *, days: float = 3650, algorithm: str = "p256") -> Self:
        """Make a CA.

        Args:
            trust_domain: of the SPIFFE ids of its certificates.
            days: until it ends.
            algorithm: of its key: `"p256"` or `"ed25519"`.

        Raises:
            ConfigError: a value is out of its range, or `cryptography` is not installed.
        """
        x509 = x509_module()
        if not TRUST_DOMAIN.fullmatch(trust_domain):
            raise ConfigError(
                f"{trust_domain!r} is no trust domain: it has lower-case letters, digits, dots and dashes"
            )
        key = _new_key(algorithm)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{trust_domain[:48]} CA")])
        usage = _key_usage(x509, key_cert_sign=True, crl_sign=True)
        builder = (
            _builder(x509, name, name, key.public_key(), timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")]),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(builder.sign(key, _hash(key)), key)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Self:
        """Read the CA of a directory.

        Raises:
            ConfigError: there is none, or its files cannot be read.
        """
        x509 = x509_module()
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            certificate = x509.load_pem_x509_certificate(Path(directory, "ca.crt").read_bytes())
            return cls(certificate, load_pem_private_key(Path(directory, "ca.key").read_bytes(), None))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{os.fspath(directory)!r} holds no CA that can be read ({type(error).__name__}): plugmux pki init "
                f"{os.fspath(directory)}"
            ) from None

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write the CA into a new directory.

        Raises:
            ConfigError: there is a CA already.
        """
        folder = Path(directory)
        folder.mkdir(mode=DIRECTORY, parents=True, exist_ok=True)
        _write(folder / "ca.key", _key_pem(self._key), PRIVATE)
        _write(folder / "ca.crt", self.pem, PUBLIC)

    @property
    def pem(self) -> bytes:
        """The certificate of the CA."""
        return _certificate_pem(self._certificate)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the CA's certificate: `sha256:` and 64 hexadecimal digits."""
        return fingerprint(self.pem)

    @property
    def trust_domain(self) -> str:
        """The trust domain of its SPIFFE ids."""
        x509 = x509_module()
        names = self._certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        return str(uri).removeprefix("spiffe://")

    def issue(
        self,
        name: str,
        *,
        hosts: Iterable[str] = (),
        lifetime: timedelta = timedelta(days=30),
        algorithm: str = "p256",
        usages: Sequence[str] = ("servers", "clients"),
        begins: datetime | None = None,
    ) -> Issued:
        """Make a key, and a certificate for it.

        Args:
            name: the name of a plugin, or `runtime`: the last segment of the SPIFFE id.
            hosts: DNS names and IP addresses at which it is dialled.
            lifetime: how long it is valid.
            algorithm: of its key: `"p256"` or `"ed25519"`.
            usages: who may show it.
            begins: from when it is valid; by default from five minutes ago.

        Raises:
            ConfigError: a value is out of its range.
        """
        key = _new_key(algorithm)
        certificate = self._sign(key.public_key(), name, hosts, lifetime, usages, begins)
        return Issued(_certificate_pem(certificate), _key_pem(key))

    def sign(self, request: bytes, name: str, lifetime: timedelta, *, path: str = "") -> Issued:
        """Make a certificate for the key of a signing request; nothing else that it says is taken.

        Args:
            request: PKCS #10, DER. What it names, if it names anything, must be `name`.
            name: the name that the certificate is for.
            lifetime: how long it is valid.
            path: what stands before the name in the SPIFFE id, such as `launch/7f3a`.

        Raises:
            ConfigError: it is not a signing request of an ECDSA P-256 or Ed25519 key, its signature does not fit, or
                it names another.
        """
        x509 = x509_module()
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519

        if len(request) > MAX_CSR:
            raise ConfigError(f"the signing request has {len(request)} bytes, over the limit of {MAX_CSR}")
        try:
            asked = x509.load_der_x509_csr(request)
            valid = asked.is_signature_valid
            key = asked.public_key()
            named = _names_in(x509, asked)
        except Exception:  # The parser raises what it likes; none of it is for the peer.
            raise ConfigError("the signing request is not PKCS #10 in DER") from None
        small = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
        if not valid or not (small or isinstance(key, ed25519.Ed25519PublicKey)):
            raise ConfigError("the signing request is not signed by an ECDSA P-256 or Ed25519 key")
        if other := next((asked for asked in named if asked != name), None):
            raise ConfigError(f"the signing request names {other[:MAX_TOLD]!r}, and may name {name!r} alone")
        return Issued(_certificate_pem(self._sign(key, name, (), lifetime, ("servers", "clients"), path=path)))

    def names_of(self, name: str, hosts: Iterable[str], path: str = "") -> list[Any]:
        """The subject alternative names of a certificate: its SPIFFE id, and the hosts."""
        id = f"spiffe://{self.trust_domain}/{path}{'/' if path else ''}{name}"
        return [x509_module().UniformResourceIdentifier(id), *map(_host, hosts)]

    def _sign(
        self,
        public_key: Any,
        name: str,
        hosts: Iterable[str],
        lifetime: timedelta,
        usages: Sequence[str],
        begins: datetime | None = None,
        path: str = "",
    ) -> Certificate:
        if not NAME.fullmatch(name) or name in (".", ".."):
            raise ConfigError(f"{name!r} cannot be a name: it has letters, digits, dots, dashes and underscores")
        x509 = x509_module()
        oids = {"servers": x509.ExtendedKeyUsageOID.SERVER_AUTH, "clients": x509.ExtendedKeyUsageOID.CLIENT_AUTH}
        names = self.names_of(name, hosts, path)
        builder = (
            _builder(
                x509,
                x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])]),
                self._certificate.subject,
                public_key,
                lifetime,
                begins,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(x509, digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([oids[usage] for usage in usages]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        signed: Certificate = builder.sign(self._key, _hash(self._key))
        return signed


def save(issued: Issued, ca: bytes, directory: str | os.PathLike[str]) -> None:
    """Write a certificate, its key and the CA into a directory, as `TLS.directory` reads them.

    Those of before are replaced one after the other; who watches them takes the set when it is whole.
    """
    folder = Path(directory)
    folder.mkdir(mode=DIRECTORY, parents=True, exist_ok=True)
    for name, content, mode in (
        ("tls.key", issued.key, PRIVATE),
        ("tls.crt", issued.certificate, PUBLIC),
        ("ca.crt", ca, PUBLIC),
    ):
        _write(folder / f".{name}.new", content, mode, replacing=True)
        os.replace(folder / f".{name}.new", folder / name)


def _new_key(algorithm: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if algorithm == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise ConfigError(f"the algorithm {algorithm!r} is not known: p256 or ed25519")


def _hash(key: Any) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _builder(
    x509: Any, subject: Any, issuer: Any, public_key: Any, lifetime: timedelta, begins: datetime | None = None
) -> Any:
    if not timedelta(0) < lifetime < timedelta(days=36500):
        raise ConfigError(f"a certificate cannot be valid for {lifetime}")
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins or now - SKEW)
        .not_valid_after((begins or now) + lifetime)
    )


def _key_usage(x509: Any, **given: bool) -> Any:
    usages = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{usage: given.get(usage, False) for usage in usages})


def _names_in(x509: Any, request: Any) -> list[str]:
    """What a signing request wants to be named: its common name, and the last segment of each alternative name."""
    names = [str(found.value) for found in request.subject]
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names += [str(name.value).rpartition("/")[2] for name in extension.value]
    return names


def _host(host: str) -> Any:
    x509 = x509_module()
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.lower())
    except ValueError:
        raise ConfigError(f"{host!r} is neither a DNS name nor an IP address") from None


def _certificate_pem(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def _write(path: Path, content: bytes, mode: int, *, replacing: bool = False) -> None:
    """Write a file that has its mode from the moment it exists."""
    if replacing:
        path.unlink(missing_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise ConfigError(f"{str(path)!r} exists already, and is not replaced") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
