"""Who a client is by the certificate that it has shown to the ASGI server, as the `tls` extension of ASGI tells it.

The server has made the handshake, and so knows that the client has the key. Which CAs it trusts is its own setting:
here the certificate is held against those of `[tls]`, so that no other CA decides who is who.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        for certificate in (own, *others):
            _ = certificate.extensions  # They are read here, once, so that nothing below meets what cannot be read.
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise UntrustedIdentity("the ASGI server tells a client certificate that cannot be read") from None
    _check_time(own)
    authorities = [x509.load_der_x509_certificate(der) for der in tls.server_context().get_ca_certs(binary_form=True)]
    _check_issuer(x509, own, others, authorities, tls)
    return identity_of(_names(x509, own))


def _names(x509: Any, certificate: Any) -> list[tuple[str, str]]:
    """Its subject alternative names, as `ssl` gives them."""
    found = _extension(certificate, x509.SubjectAlternativeName)
    if found is None:
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


def _check_issuer(x509: Any, certificate: Any, others: Sequence[Any], trusted: Sequence[Any], tls: TLS) -> None:
    """Check that a trusted CA has signed it, or a CA that one has signed (RFC 5280, section 6.1)."""
    _check_use(x509, certificate, "its certificate")
    for between in range(MAX_CHAIN):
        signers = (each for each in (*trusted, *others) if _may_have_signed(x509, each, certificate, between))
        certificate = next(signers, None)
        if certificate is None:
            break
        _check_use(x509, certificate, "a CA above its certificate")
        if certificate in trusted:
            return
    raise UntrustedIdentity(f"its certificate is signed by no CA of {tls.ca}")


def _check_use(x509: Any, certificate: Any, what: str) -> None:
    """Check that it is meant for clients, or for a CA of clients, and has no limit that is not looked at here."""
    oids = x509.ExtendedKeyUsageOID
    use = _extension(certificate, x509.ExtendedKeyUsage)
    if use is not None and not {oids.CLIENT_AUTH, oids.ANY_EXTENDED_KEY_USAGE} & set(use):
        raise UntrustedIdentity(f"{what} is not for clients (extended key usage)")
    known = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName)
    for each in certificate.extensions:
        if isinstance(each.value, x509.NameConstraints) or (each.critical and not isinstance(each.value, known)):
            raise UntrustedIdentity(f"{what} has limits that the gateway cannot check ({each.oid.dotted_string})")


def _may_have_signed(x509: Any, authority: Any, certificate: Any, between: int) -> bool:
    """Whether a CA has signed a certificate, and may: it is one, valid now, and has `between` others below it."""
    now = datetime.now(UTC)
    if not authority.not_valid_before_utc <= now < authority.not_valid_after_utc:
        return False
    is_ca, use = _extension(authority, x509.BasicConstraints), _extension(authority, x509.KeyUsage)
    if is_ca is None or not is_ca.ca or (use is not None and not use.key_cert_sign):
        return False
    if is_ca.path_length is not None and is_ca.path_length < between:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # Another issuer, a wrong signature, a key of another kind.
        return False
    return True


def _extension(certificate: Any, kind: Any) -> Any:
    """The value of an extension; `None` where the certificate has none of that kind."""
    found = (each.value for each in certificate.extensions if isinstance(each.value, kind))
    return next(found, None)
