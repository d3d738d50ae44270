"""Who a client is by the certificate that it has shown to the ASGI server, as the `tls` extension of ASGI tells it.

The server has made the handshake, and so knows that the client has the key. Which CAs it trusts is its own setting:
here the certificate is held against those of `[tls]`, so that no other CA decides who is who.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..network.description import x509_module
from ..network.identity import MAX_SHOWN, UntrustedIdentity, identity_of

if TYPE_CHECKING:
    from ..network.tls import TLS

__all__ = ["NOT_TOLD", "identity_told_by"]

NOT_TOLD = (
    "this ASGI server does not tell client certificates (the tls extension of ASGI): use a bearer token, a proxy that "
    "[proxy] names, or a tls:// listener of plugmux run"
)
MAX_CHAIN = 8
"""Certificates of a chain at most."""

MAX_PEM = 16 * 1024


def identity_told_by(told: Mapping[str, Any], tls: TLS | None) -> str:
    """The identity of a client; empty where it has shown no certificate.

    Args:
        told: the `tls` extension of a request's scope.
        tls: whose CAs are trusted.

    Raises:
        UntrustedIdentity: there is a certificate that cannot be checked, or that names nobody; the message says why.
    """
    if error := told.get("client_cert_error"):
        raise UntrustedIdentity(f"the ASGI server did not accept the client certificate: {str(error)[:MAX_SHOWN]!r}")
    chain: Sequence[str] = tuple(told.get("client_cert_chain") or ())
    if not chain:
        if told.get("client_cert_name"):
            raise UntrustedIdentity("the ASGI server tells the subject of the client certificate, and not what it says")
        return ""
    if tls is None:
        raise UntrustedIdentity("the gateway has no CAs to hold the client certificate against: it needs [tls]")
    if len(chain) > MAX_CHAIN or any(len(pem) > MAX_PEM for pem in chain):
        raise UntrustedIdentity(f"the client certificate has more than {MAX_CHAIN} others with it, or is too large")
    try:
        x509 = x509_module()
    except ConfigError as error:
        raise UntrustedIdentity(f"the client certificate cannot be read: {error}") from None
    try:
        own, *others = [x509.load_pem_x509_certificate(pem.encode("ascii")) for pem in chain]
        names = _names(x509, own)
    except ValueError:
        raise UntrustedIdentity("the ASGI server tells a client certificate that cannot be read") from None
    _check_time(own)
    authorities = [x509.load_der_x509_certificate(der) for der in tls.server_context().get_ca_certs(binary_form=True)]
    _check_issuer(x509, own, others, authorities, tls)
    return identity_of(names)


def _names(x509: Any, certificate: Any) -> list[tuple[str, str]]:
    """Its subject alternative names, as `ssl` gives them."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    uris = [("URI", uri) for uri in found.get_values_for_type(x509.UniformResourceIdentifier)]
    return uris + [("DNS", host) for host in found.get_values_for_type(x509.DNSName)]


def _check_time(certificate: Any) -> None:
    """Check that it is valid now: a connection may have outlived it."""
    now = datetime.now(UTC)
    if now < certificate.not_valid_before_utc:
        raise UntrustedIdentity("its certificate is not valid yet")
    if now >= certificate.not_valid_after_utc:
        raise UntrustedIdentity("its certificate has expired")


def _check_issuer(x509: Any, certificate: Any, others: Sequence[Any], trusted: Iterable[Any], tls: TLS) -> None:
    """Check that a trusted CA has signed it, or a CA that one has signed."""
    for _ in range(MAX_CHAIN):
        if any(_has_signed(authority, certificate) for authority in trusted):
            return
        above = next((other for other in others if _is_ca(x509, other) and _has_signed(other, certificate)), None)
        if above is None:
            break
        certificate = above
    raise UntrustedIdentity(f"its certificate is signed by no CA of {tls.ca}")


def _has_signed(authority: Any, certificate: Any) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # Another issuer, a wrong signature, a key of another kind.
        return False
    return True


def _is_ca(x509: Any, certificate: Any) -> bool:
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        return False
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False
