"""The addresses at which runtimes and plugins listen: a unix socket, or a place in the network.

unix:/path  unix:@abstract     a socket of this machine
pipe:NAME                      a named pipe of this machine, on Windows
tls://host:port                TLS with certificates at both ends
tcp://127.0.0.1:port           no TLS, and so loopback alone
tls+dns://name:port            every address of a name; to be dialled alone
tls+srv://_service._tcp.name   the SRV records of a name; to be dialled alone
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple, Self

from ..errors import ConfigError
from ..platform import ABSTRACT_SOCKETS, MAX_SOCKET_PATH, NAMED_PIPES

if TYPE_CHECKING:
    import ipaddress
    from pathlib import Path

__all__ = ["INSECURE_VARIABLE", "Address", "NetworkAddress", "is_network", "parse_address"]

INSECURE_VARIABLE = "PLUGMUX_INSECURE_TCP"
"""Set to 1, it lets `tcp://` leave this machine: for tests."""

NETWORK_SCHEMES = ("tls", "tcp", "tls+dns", "tls+srv")
HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*")
SRV_NAME = re.compile(r"_[a-z0-9-]{1,62}\._(?:tcp|udp)\.(.+)")
PORT = re.compile(r"[0-9]{1,5}")
MAX_PORT = 65_535

FORMS = "pipe:NAME" if NAMED_PIPES else "unix:/path or unix:@name"

PIPE_PREFIX = "\\\\.\\pipe\\"
"""How the path of each named pipe of this machine begins."""

MAX_PIPE_NAME = 256 - len(PIPE_PREFIX)
"""The most characters (UTF-16 units) of a pipe's name: its path may have 256."""


class Address(NamedTuple):
    """The address of a unix socket or a named pipe.

    Args:
        name: a path in the file system, a name in Linux' abstract name space with a leading `@`, or the path of a named
            pipe (`\\\\.\\pipe\\NAME`).
    """

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an address as a person writes it.

        Raises:
            ConfigError: the form is not known, the system has no such sockets, or the name is longer than it allows.
        """
        scheme, separator, name = text.partition(":")
        if not separator:
            scheme, name = "unix", text
        if scheme == "pipe":
            return cls(_pipe(text, name))
        name = name.removeprefix("//")
        known = scheme == "unix" and (
            "/" in name or name.startswith("@")
        )  # A name without a slash is probably a mistake.
        if not known or name == "@" or "\0" in name:
            raise ConfigError(f"the address {text!r} is not valid: write {FORMS}")
        if NAMED_PIPES:
            raise ConfigError(
                f"the address {text!r} is of a unix socket, and this system has named pipes: write pipe:NAME"
            )
        if name.startswith("@") and not ABSTRACT_SOCKETS:
            raise ConfigError(
                f"the address {text!r} is abstract, and only Linux has abstract sockets: write unix:/path"
            )
        size = len(os.fsencode(name))
        if size > MAX_SOCKET_PATH:
            raise ConfigError(
                f"the socket name {name!r} has {size} bytes, and this system allows {MAX_SOCKET_PATH}: "
                "choose a shorter path"
            )
        return cls(name)

    @property
    def is_abstract(self) -> bool:
        """Whether the name is in the abstract name space, so that there is no file."""
        return self.name.startswith("@")

    @property
    def is_pipe(self) -> bool:
        """Whether this is a named pipe."""
        return self.name.startswith(PIPE_PREFIX)

    @property
    def sockaddr(self) -> str:
        """The address in the form of the socket module; of a named pipe, its path."""
        return "\0" + self.name[1:] if self.is_abstract else self.name

    @property
    def path(self) -> Path | None:
        """The path of the socket's file; `None` for an abstract name and for a named pipe."""
        from pathlib import Path  # few programs need it, and a plugin must start fast

        return None if self.is_abstract or self.is_pipe else Path(self.name)

    def __str__(self) -> str:
        return f"pipe:{self.name.removeprefix(PIPE_PREFIX)}" if self.is_pipe else f"unix:{self.name}"


def _pipe(text: str, name: str) -> str:
    """The path of a named pipe.

    Raises:
        ConfigError: no pipe may have this name, or this is not Windows.
    """
    if not name or set(name) & set("\\/\0"):
        raise ConfigError(
            f"the address {text!r} is not valid: write pipe:NAME, without a slash or a backslash in the name"
        )
    if (size := len(name.encode("utf-16-le", "surrogatepass")) // 2) > MAX_PIPE_NAME:
        raise ConfigError(
            f"the pipe name {name!r} has {size} characters, and Windows allows {MAX_PIPE_NAME}: choose a shorter name"
        )
    if not NAMED_PIPES:
        raise ConfigError(f"the address {text!r} is of a named pipe, and only Windows has those: write unix:/path")
    return PIPE_PREFIX + name


class NetworkAddress(NamedTuple):
    """An address in the network.

    Args:
        scheme: `tls`, `tcp`, `tls+dns` or `tls+srv`.
        host: a DNS name in lower case, or an IP address without brackets.
        port: the port; 0 has the system choose one to listen at, and stands where SRV records name the ports.
    """

    scheme: str
    host: str
    port: int = 0

    @classmethod
    def parse(cls, text: str, *, insecure_tcp: bool = False) -> Self:
        """Parse an address as a person writes it.

        Args:
            text: the address.
            insecure_tcp: whether `tcp://` may leave this machine.

        Raises:
            ConfigError: the form is not known, or it would leave this machine without TLS.
        """
        scheme, _, rest = text.partition("://")
        if scheme not in NETWORK_SCHEMES:
            raise _invalid(text, "the scheme is not known")
        if scheme == "tls+srv":
            host = rest.lower()
            found = SRV_NAME.fullmatch(host)
            if found is None or not HOST_NAME.fullmatch(found[1]):
                raise _invalid(text, "the name of SRV records is _service._tcp.name, without a port")
            return cls(scheme, host)
        host, port = _host_and_port(text, rest)
        address = cls(scheme, host, port)
        if scheme == "tls+dns" and address.ip is not None:
            raise _invalid(text, "it has an IP address where a name is looked up; write tls://")
        if scheme == "tcp" and not (insecure_tcp or address.is_loopback):
            raise ConfigError(
                f"the address {text!r} has no TLS and leaves this machine: write tls://{rest}, or allow it for tests "
                f"(--insecure-tcp, {INSECURE_VARIABLE}=1)"
            )
        return address

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The IP address; `None` where the host is a name."""
        import ipaddress  # a plugin that is launched needs none, and must start fast

        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def is_loopback(self) -> bool:
        """Whether it cannot leave this machine."""
        return self.host == "localhost" if self.ip is None else self.ip.is_loopback

    @property
    def is_secure(self) -> bool:
        """Whether both ends show certificates."""
        return self.scheme != "tcp"

    @property
    def is_looked_up(self) -> bool:
        """Whether it stands for all addresses that a resolver gives for a name."""
        return self.scheme in ("tls+dns", "tls+srv")

    @property
    def server_name(self) -> str:
        """The name that a certificate is held against: the host, and for SRV records the name behind the service."""
        found = SRV_NAME.fullmatch(self.host) if self.scheme == "tls+srv" else None
        return self.host if found is None else found[1]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.scheme == "tls+srv" else f":{self.port}")


def is_network(text: str) -> bool:
    """Whether a text is meant as an address in the network."""
    return text.partition("://")[0] in NETWORK_SCHEMES and "://" in text


def parse_address(text: str, *, insecure_tcp: bool | None = None) -> Address | NetworkAddress:
    """Parse an address of either kind as a person writes it.

    Args:
        text: the address.
        insecure_tcp: whether `tcp://` may leave this machine; by default where `PLUGMUX_INSECURE_TCP` is 1.

    Raises:
        ConfigError: the form is not known, or it would leave this machine without TLS.
    """
    if not is_network(text):
        return Address.parse(text)
    if insecure_tcp is None:
        insecure_tcp = os.environ.get(INSECURE_VARIABLE) == "1"
    return NetworkAddress.parse(text, insecure_tcp=insecure_tcp)


def _host_and_port(text: str, rest: str) -> tuple[str, int]:
    import ipaddress

    host, colon, port = rest.rpartition(":")
    if not colon or not PORT.fullmatch(port) or int(port) > MAX_PORT:
        raise _invalid(text, f"it needs a port from 0 to {MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        try:
            found = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise _invalid(text, "the brackets hold no IPv6 address") from None
        if found.scope_id is not None:
            raise _invalid(text, "it names an interface of one machine")
        return str(found), int(port)
    host = host.lower()
    if ":" in host:
        raise _invalid(text, "an IPv6 address stands in brackets")
    if host.replace(".", "").isdigit():
        try:
            return str(ipaddress.IPv4Address(host)), int(port)
        except ValueError:
            raise _invalid(text, "it has neither a host name nor an IP address") from None
    if not HOST_NAME.fullmatch(host):
        raise _invalid(text, "it has neither a host name nor an IP address")
    return host, int(port)


def _invalid(text: str, why: str) -> ConfigError:
    return ConfigError(
        f"the address {text!r} is not valid, as {why}: write tls://host:port, tls://[IPv6]:port, tls+dns://name:port, "
        "tls+srv://_service._tcp.name or tcp://127.0.0.1:port"
    )
