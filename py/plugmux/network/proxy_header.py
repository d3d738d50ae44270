"""The header of the PROXY protocol, version 2, by which a proxy tells whose connection it passes on.

    signature (12) | version and command (1) | family (1) | length (2) | addresses, then what else the proxy tells

The reader asks for as many bytes as the header still has, so that nothing behind it is read. It takes the addresses of
TCP over IPv4 and IPv6. What stands behind them is skipped: an identity is known by TLS with the runtime alone.
(haproxy.org/download/3.0/doc/proxy-protocol.txt, section 2.2)
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Collection, Iterable
from typing import TypeAlias

from ..errors import ConfigError, PlugmuxError

__all__ = ["IPNetwork", "ProxyHeader", "ProxyHeaderError", "is_within", "networks"]

IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FIXED = 16
MAX_LENGTH = 1024
"""Bytes behind the first 16 that are taken; the addresses have 36 at most."""

LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6 = 0x11, 0x21
ADDRESSES = {TCP4: (4, 12), TCP6: (16, 36)}
"""By family: bytes of one address, and of both with their ports."""


class ProxyHeaderError(PlugmuxError):
    """What came is no header of the PROXY protocol, version 2, of a TCP connection."""


class ProxyHeader:
    """Reads one header.

    Attributes:
        wanted: bytes that it needs next, at most; 0 when the header is whole.
        source: the address and the port of the connection that is passed on; `None` where the proxy connects for
            itself.
    """

    def __init__(self) -> None:
        self.wanted = FIXED
        self.source: tuple[str, int] | None = None
        self._read = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes, at most `wanted`.

        Raises:
            ProxyHeaderError: they do not fit.
        """
        self._read += data
        read = self._read
        if read[: len(SIGNATURE)] != SIGNATURE[: len(read)]:
            raise ProxyHeaderError("it sent no header of the PROXY protocol, version 2")
        self.wanted -= len(data)
        if self.wanted:
            return
        if len(read) == FIXED:
            self.wanted = self._length()
            if self.wanted:
                return
        self._take_source()

    def _length(self) -> int:
        command = self._read[12]
        if command not in (LOCAL, PROXY):
            raise ProxyHeaderError(f"its PROXY header has version and command {command:#04x}; 0x20 and 0x21 are known")
        length: int = struct.unpack_from("!H", self._read, 14)[0]
        if length > MAX_LENGTH:
            raise ProxyHeaderError(f"its PROXY header has {length} bytes, over the limit of {MAX_LENGTH}")
        return length

    def _take_source(self) -> None:
        if self._read[12] == LOCAL:
            return
        family = self._read[13]
        if family not in ADDRESSES:
            raise ProxyHeaderError(f"its PROXY header is of family {family:#04x}, and not of TCP over IPv4 or IPv6")
        size, both = ADDRESSES[family]
        if len(self._read) < FIXED + both:
            raise ProxyHeaderError("its PROXY header ends before its addresses do")
        (port,) = struct.unpack_from("!H", self._read, FIXED + 2 * size)
        self.source = str(ipaddress.ip_address(bytes(self._read[FIXED : FIXED + size]))), port


def networks(texts: Iterable[str]) -> tuple[IPNetwork, ...]:
    """The networks that texts such as `10.0.0.5` and `10.1.0.0/16` name.

    Raises:
        ConfigError: a text is none.
    """
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(
            f"a proxy (Permissions.proxies): {error}; write an address, or a network such as 10.1.0.0/16"
        ) from None


def is_within(peername: object, those: Collection[IPNetwork]) -> bool:
    """Whether an address of the socket module is in one of some networks."""
    if not isinstance(peername, tuple):
        return False
    address = ipaddress.ip_address(str(peername[0]).partition("%")[0].removeprefix("::ffff:"))
    return any(address in network for network in those)
