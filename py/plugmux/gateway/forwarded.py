"""Who a client is by the header in which a proxy that ends TLS tells its certificate, `X-Forwarded-Client-Cert`.

    element ["," element ...]      one for each proxy on the way, the last one's last
    key "=" value [";" ...]        the value in quotes where it has "," or ";" or "=", with "\\" before a quote in it

A certificate says whatever its holder has got a CA to sign, its subject above all. So quotes are read as such: nothing
within a value becomes an element or a key. (Envoy's documentation of HTTP headers, x-forwarded-client-cert)
"""

from __future__ import annotations

import re

from ..network.identity import UntrustedIdentity, identity_of

__all__ = ["identity_forwarded"]

MAX_HEADER = 8192
"""Bytes of the header at most."""

PAIR = re.compile(r'[ \t]*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^",;]*)[ \t]*(,|;|\Z)')
ESCAPED = re.compile(r"\\(.)")
KINDS = {"uri": "URI", "dns": "DNS"}


def identity_forwarded(header: bytes) -> str:
    """The identity that the last proxy tells.

    Args:
        header: the values of all fields of that name, with commas between them.

    Raises:
        UntrustedIdentity: it tells none, is too long, or is not of that form.
    """
    if len(header) > MAX_HEADER:
        raise UntrustedIdentity(f"the proxy's X-Forwarded-Client-Cert has over {MAX_HEADER} bytes")
    return identity_of(_names(header.decode("latin-1")))


def _names(text: str) -> list[tuple[str, str]]:
    """The alternative names in the last element."""
    names: list[tuple[str, str]] = []
    at, separator = 0, ";"
    while separator:
        pair = PAIR.match(text, at)
        if pair is None:
            raise UntrustedIdentity("the proxy's X-Forwarded-Client-Cert cannot be read: it is not KEY=VALUE;...")
        if separator == ",":
            names.clear()
        key, value, separator = pair.groups()
        if kind := KINDS.get(key.lower()):
            names.append((kind, ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value.strip()))
        at = pair.end()
    return names
