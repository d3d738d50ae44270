"""Where the runtime's socket is: as an option says, as `PLUGMUX_SOCKET` says, or in the user's own directories."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from ..aio.local_peer import PeerUsers, UntrustedPeer
from ..contract.address import Address
from ..contract.launch import SOCKET_VARIABLE
from ..errors import PlugmuxError
from ..platform import NAMED_PIPES, current_user, probe_stream

__all__ = ["NoRuntime", "default_addresses", "find_runtime"]

SOCKET_NAME = "runtime.sock"
PIPE_NAME = "plugmux-runtime"
CONNECT_TIMEOUT = 2.0


class NoRuntime(PlugmuxError):
    """No runtime listens at any of the addresses tried; the message lists each of them with its reason."""


def default_addresses(environ: Mapping[str, str] = os.environ) -> list[Address]:
    """Where a runtime is looked for when no option says where; it listens at the first.

    `PLUGMUX_SOCKET` alone where it is set; else on Windows a pipe that has the user's name, and elsewhere
    `plugmux/runtime.sock` in `$XDG_RUNTIME_DIR` where that is set, and in the user's cache directory.

    Raises:
        ConfigError: an address is not valid, or its path is longer than a socket's may be.
    """
    if text := environ.get(SOCKET_VARIABLE):
        return [Address.parse(text)]
    if NAMED_PIPES:
        return [Address.parse(f"pipe:{PIPE_NAME}-{current_user()}")]
    directories = [_cache_directory(environ)]
    if runtime_directory := environ.get("XDG_RUNTIME_DIR"):
        directories.insert(0, Path(runtime_directory))
    return [Address.parse(f"unix:{directory / 'plugmux' / SOCKET_NAME}") for directory in directories]


def _cache_directory(environ: Mapping[str, str]) -> Path:
    if configured := environ.get("XDG_CACHE_HOME"):
        return Path(configured)
    home = Path(environ.get("HOME") or Path.home())
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"


def find_runtime(addresses: Iterable[Address], users: PeerUsers | None = None) -> Address:
    """The first address at which a trusted user listens.

    Args:
        addresses: where to look.
        users: who is trusted; by default this user and root, and whom `PLUGMUX_PEER_USERS` names.

    Raises:
        ConfigError: `PLUGMUX_PEER_USERS` names what is no user of this system.
        NoRuntime: there is none.
    """
    users, tried = users or PeerUsers(), []
    for address in addresses:
        try:
            with closing(probe_stream(address.sockaddr, CONNECT_TIMEOUT)) as probe:
                users.check(probe, address)
        except OSError as error:
            tried.append(f"  {address}: {error.strerror or error}")
        except UntrustedPeer as error:
            tried.append(f"  {address}: {error}")
        else:
            return address
    raise NoRuntime(
        "no runtime found; tried\n"
        + "\n".join(tried)
        + "\nstart one with plugmux run, name its address with --connect, or launch plugins with --plugin"
    )
