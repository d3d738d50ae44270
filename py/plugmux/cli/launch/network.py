"""The options for runtimes and plugins on other machines: addresses, certificates, and whose runtime is accepted."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ...contract.address import INSECURE_VARIABLE, NetworkAddress, parse_address
from ...errors import ConfigError

if TYPE_CHECKING:
    from ...network.tls import TLS

__all__ = ["add_network_options", "insecure", "network_address", "tls_of"]


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add `--tls` and what belongs to it."""
    group = parser.add_argument_group("other machines (docs/remote.md)")
    group.add_argument(
        "--tls",
        metavar="DIR",
        help="show the certificate DIR/tls.crt with the key DIR/tls.key, and trust the CAs in DIR/ca.crt (also "
        "PLUGMUX_TLS_DIR; PLUGMUX_TLS_CERT, PLUGMUX_TLS_KEY and PLUGMUX_TLS_CA name single files)",
    )
    group.add_argument(
        "--runtime-identity",
        metavar="ID",
        action="append",
        default=[],
        help="accept the runtime of this identity; * stands for one segment (also PLUGMUX_RUNTIME_IDENTITY)",
    )
    group.add_argument(
        "--insecure-tcp",
        action="store_true",
        help="let tcp:// leave this machine, for tests (also PLUGMUX_INSECURE_TCP=1)",
    )


def insecure(options: argparse.Namespace) -> bool:
    """Whether `tcp://` may leave this machine."""
    return bool(getattr(options, "insecure_tcp", False)) or os.environ.get(INSECURE_VARIABLE) == "1"


def network_address(text: str, options: argparse.Namespace) -> NetworkAddress:
    """Read an address in the network.

    Raises:
        ConfigError: it is not valid.
    """
    address = parse_address(text, insecure_tcp=insecure(options))
    if not isinstance(address, NetworkAddress):
        raise ConfigError(f"the address {text!r} is none in the network: write tls://host:port")
    return address


def tls_of(options: argparse.Namespace) -> TLS | None:
    """The certificate that the options or the environment name; `None` where neither does.

    Raises:
        ConfigError: its files cannot be used.
    """
    from ...network.tls import DIRECTORY_VARIABLE, PEERS_VARIABLE, TLS

    environ = dict(os.environ)
    if getattr(options, "tls", None):
        for variable in ("PLUGMUX_TLS_CERT", "PLUGMUX_TLS_KEY", "PLUGMUX_TLS_CA"):
            environ.pop(variable, None)
        environ[DIRECTORY_VARIABLE] = options.tls
    if getattr(options, "runtime_identity", None):
        environ[PEERS_VARIABLE] = ",".join(options.runtime_identity)
    return TLS.from_environ(environ)
