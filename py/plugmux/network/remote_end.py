"""What is known of the other end of a connection over a network, once the handshake is done."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .identity import UntrustedIdentity, identity_of, matches, name_of

__all__ = ["RUNTIME", "RemoteEnd", "accept_runtime", "tune"]

RUNTIME = "runtime"
"""The name of the identity that a runtime has, where plugins are not told otherwise."""

USER_TIMEOUT = 20_000
"""Milliseconds that bytes may stay unacknowledged before the kernel gives a connection up."""


@dataclass(frozen=True, slots=True)
class RemoteEnd:
    """The other end of a connection.

    Args:
        address: its IP address and port.
        identity: what its certificate says; empty without TLS, without a certificate, or where that names nobody.
        why: why there is no identity; empty where there is one.
        names: the subject alternative names of the certificate.
        shown: whether it has shown a certificate.
    """

    address: str
    identity: str = ""
    why: str = ""
    names: Sequence[tuple[str, str]] = field(default=(), repr=False)
    shown: bool = False

    @classmethod
    def of(cls, transport: asyncio.BaseTransport) -> RemoteEnd:
        """What the transport of a connection tells; its handshake, if there is one, is done."""
        address = shown_address(transport.get_extra_info("peername"))
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is None:
            return cls(address, why="the connection has no TLS")
        certificate: dict[str, Any] | None = ssl_object.getpeercert()
        if not certificate:
            return cls(address, why="it showed no certificate, and mutual TLS needs one")
        names = tuple((kind, str(name)) for kind, name, *_ in certificate.get("subjectAltName", ()))
        try:
            return cls(address, identity_of(names), names=names, shown=True)
        except UntrustedIdentity as error:
            return cls(address, why=str(error), names=names, shown=True)

    def covers(self, host: str) -> bool:
        """Whether the certificate is for a host: a DNS name, also by a wildcard for its first label, or an address."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            wild = "*." + host.partition(".")[2]
            return any(kind == "DNS" and name.lower() in (host, wild) for kind, name in self.names)
        return any(kind == "IP Address" and _is_address(name, address) for kind, name in self.names)


def accept_runtime(end: RemoteEnd, patterns: Sequence[str], host: str = "") -> None:
    """Check that the other end is a runtime that a plugin or a client accepts.

    Args:
        end: the other end.
        patterns: the identities that are accepted; empty for the rule by name.
        host: the host that was dialled; empty where the other end has dialled.

    Raises:
        UntrustedIdentity: it is not; the message tells what came and what is expected.
    """
    if patterns:
        if end.identity and any(matches(pattern, end.identity) for pattern in patterns):
            return
        expected = " or ".join(patterns)
    else:
        if end.identity and name_of(end.identity) == RUNTIME:
            return
        if host and end.covers(host):
            return
        expected = f"an identity whose name is {RUNTIME!r}" + (f", or a certificate for {host}" if host else "")
        expected += " (PLUGMUX_RUNTIME_IDENTITY names another)"
    if not end.identity:
        raise UntrustedIdentity(f"{end.why}; expected {expected}")
    raise UntrustedIdentity(f"its certificate is {end.identity}; expected {expected}")


def shown_address(peername: Any) -> str:
    """An address of the socket module as a person writes it."""
    if not isinstance(peername, tuple) or len(peername) < 2:
        return str(peername or "an unknown address")
    host, port = str(peername[0]).removeprefix("::ffff:"), peername[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tune(transport: asyncio.BaseTransport) -> None:
    """Have the kernel send what is written at once, and give a connection up whose bytes nobody acknowledges.

    asyncio asks for the first only where the socket was made with a protocol, as one that was accepted may not be.
    """
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, USER_TIMEOUT)


def _is_address(text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return ipaddress.ip_address(text.strip()) == address
    except ValueError:
        return False
