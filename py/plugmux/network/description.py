"""What certificates say, for people: `plugmux pki show`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, PlugmuxError
from .identity import identity_of

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["describe", "fingerprint", "x509_module"]


def fingerprint(pem: bytes) -> str:
    """The SHA-256 of a certificate in PEM: `sha256:` and 64 hexadecimal digits.

    Raises:
        ValueError: it is none.
    """
    import hashlib
    import ssl

    return "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))).hexdigest()


def describe(path: str | os.PathLike[str]) -> list[dict[str, object]]:
    """What the certificates of a PEM file say.

    Raises:
        ConfigError: it holds none, or `cryptography` is not installed.
    """
    x509 = x509_module()
    try:
        found = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{os.fspath(path)!r} holds no PEM certificates: {error}") from None
    return [_described(x509, certificate) for certificate in found]


def _described(x509: Any, certificate: Certificate) -> dict[str, object]:
    from cryptography.hazmat.primitives import hashes

    def extension(kind: Any) -> Any:
        try:
            return certificate.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return ()

    names = [
        (kind, str(name.value))
        for name in extension(x509.SubjectAlternativeName)
        for kind in [_KINDS.get(type(name).__name__, type(name).__name__)]
    ]
    constraints = extension(x509.BasicConstraints)
    is_ca = bool(constraints) and constraints.ca if constraints != () else False
    try:
        identity = "" if is_ca else identity_of(names)
    except PlugmuxError as error:
        identity = f"none: {error}"
    usages = [usage._name for usage in extension(x509.ExtendedKeyUsage)]
    return {
        "identity": identity,
        "names": [f"{kind}:{name}" for kind, name in names],
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "valid_from": certificate.not_valid_before_utc.isoformat(),
        "valid_until": certificate.not_valid_after_utc.isoformat(),
        "usages": usages,
        "ca": is_ca,
        "fingerprint": "sha256:" + certificate.fingerprint(hashes.SHA256()).hex(),
    }


_KINDS = {"UniformResourceIdentifier": "URI", "DNSName": "DNS", "IPAddress": "IP Address", "RFC822Name": "email"}


def x509_module() -> Any:
    """The module that reads and makes certificates.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from cryptography import x509
    except ImportError:
        raise ConfigError("certificates are made with the package cryptography: pip install 'plugmux[pki]'") from None
    return x509
