"""Why a handshake has failed, in words: what came, what was expected, and which end refused."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from ..errors import PlugmuxError

if TYPE_CHECKING:
    from .tls import TLS

__all__ = ["HandshakeFailed", "handshake_refusal"]

ALERTS = {
    "CERTIFICATE_EXPIRED": "it has expired, by its clock",
    "UNKNOWN_CA": "it trusts another CA",
    "BAD_CERTIFICATE": "it is not valid, by its clock or rules",
    "UNSUPPORTED_CERTIFICATE": "its extended key usage does not fit",
    "CERTIFICATE_REQUIRED": "it wants a certificate, and none was given",
    "CERTIFICATE_UNKNOWN": "it does not accept it",
    "CERTIFICATE_REVOKED": "it has been revoked",
    "ACCESS_DENIED": "it does not accept it",
}
"""Why a peer has refused our certificate, by the TLS alert that it sent."""

OLDER = ("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE", "WRONG_SSL_VERSION")
NO_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "HTTPS_PROXY_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
)


class HandshakeFailed(PlugmuxError):
    """A TLS connection could not be agreed on; the message says which end refused what."""


def handshake_refusal(where: object, error: BaseException, tls: TLS | None, *, by_server: bool) -> HandshakeFailed:
    """The error for a handshake that has failed, or for the end of a connection that tells the same.

    Args:
        where: who is at the other end, as a person writes it.
        error: what `ssl` or the event loop has raised.
        tls: the settings of this end.
        by_server: whether the other end is the one that listens.
    """
    return HandshakeFailed(f"{where}: {_words(error, tls, by_server=by_server)}")


def _words(error: BaseException, tls: TLS | None, *, by_server: bool) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification(error, tls, "a server" if by_server else "a client")
    reason = (getattr(error, "reason", None) or "").replace(" ", "_").upper()
    alert = next((words for name, words in ALERTS.items() if reason.endswith(f"ALERT_{name}")), None)
    if alert is not None:
        own = f" {tls.own}, for {tls.own.usage}" if tls is not None and tls.own is not None else ""
        return f"it refused our certificate{own}: {alert}"
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "it showed no certificate, and mutual TLS needs one"
    if any(name in reason for name in OLDER):
        return "it speaks no TLS 1.3"
    if any(name in reason for name in NO_TLS):
        return "it does not speak TLS"
    if isinstance(error, TimeoutError):
        return "it did not complete the TLS handshake in time"
    if isinstance(error, ConnectionError | EOFError) or reason in ("UNEXPECTED_EOF_WHILE_READING", "EOF"):
        return "it ended the connection during the TLS handshake"
    return f"the TLS handshake failed: {reason.lower().replace('_', ' ') or error}"


def _verification(error: ssl.SSLCertVerificationError, tls: TLS | None, end: str) -> str:
    ca = tls.ca if tls is not None else "this end"
    words = {
        2: f"is signed by no CA of {ca}",
        7: f"is signed by no CA of {ca}",
        9: "is not valid yet",
        10: "has expired",
        18: f"is self-signed, and not one of the CAs of {ca}",
        19: f"is signed by no CA of {ca}",
        20: f"is signed by no CA of {ca}",
        21: f"is signed by no CA of {ca}",
        24: "is signed by one that is no CA",
        26: f"may not be used by {end} (extended key usage)",
        79: "is signed by one that is no CA",
    }  # by OpenSSL's number for each X509_V_ERR
    return f"its certificate {words.get(error.verify_code, 'is not valid: ' + error.verify_message)}"
