"""Who is at the other end of a socket of this machine, and connections to sockets of trusted users alone.

Any user's process may listen at a path, an abstract name or the name of a pipe; the kernel tells whose it is. Only
processes of this process' user, of root, and of named users are trusted; nothing is sent to any other.

A peer whose user the system does not tell is not trusted either.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ..errors import ConfigError, PlugmuxError
from ..platform import (
    LocalStream,
    UserId,
    connect_stream,
    credentials,
    current_user,
    describe_user,
    find_user,
    is_superuser,
)

__all__ = ["PEER_USERS_VARIABLE", "PeerUsers", "UntrustedPeer", "connect_trusted"]

PEER_USERS_VARIABLE = "PLUGMUX_PEER_USERS"
"""Users, by name or number and separated by commas, whose runtimes are trusted besides the user's own and root's."""

ANYBODY = "*"
"""In the place of a user: every user is trusted, and those whom the system does not tell as well."""


class UntrustedPeer(PlugmuxError):
    """The process at the other end of a socket runs as a user that is not trusted; nothing was sent to it."""


class PeerUsers:
    """The users whose processes may be connected to: one's own, root, and those that are named.

    Args:
        named: names or numbers of further users, or a text of them with commas in between; `*` is every user. Those
            that `PLUGMUX_PEER_USERS` names count as well.
        environ: the environment.

    Raises:
        ConfigError: one of `named` is no user of this system.
    """

    def __init__(self, named: Iterable[str | int] = (), environ: Mapping[str, str] = os.environ) -> None:
        listed = _listed(named) if isinstance(named, str) else list(named)
        self._named = frozenset(_uid(user) for user in listed if user != ANYBODY)
        self._anybody = ANYBODY in listed
        self._environ = environ

    def check(self, sock: LocalStream, where: object) -> None:
        """Check that a connection leads to a process of a trusted user.

        Args:
            sock: the connected socket.
            where: what was connected to, for the error.

        Raises:
            ConfigError: `PLUGMUX_PEER_USERS` names what is no user of this system.
            UntrustedPeer: the process is another user's, or the system does not tell whose it is.
        """
        further = _listed(self._environ.get(PEER_USERS_VARIABLE, ""))
        if self._anybody or ANYBODY in further:
            return
        peer = credentials(sock)
        if peer is None:
            raise UntrustedPeer(
                f"this system does not tell whose process listens at {where}, so it is not trusted, and nothing was "
                "sent to it"
            )
        if peer.uid == current_user() or is_superuser(peer.uid) or peer.uid in self._named:
            return
        if peer.uid not in set(map(_uid, further)):
            raise UntrustedPeer(
                f"the process that listens at {where} is one of {describe_user(peer.uid)}, neither of this user "
                f"({current_user()}) nor of root, and nothing was sent to it; if that user is trusted, name it in "
                f"{PEER_USERS_VARIABLE} or peer_users"
            )


async def connect_trusted(name: str, users: PeerUsers, where: object = None) -> LocalStream:
    """Connect to a socket of this machine at which a trusted user listens.

    Args:
        name: the socket's path, its abstract name behind a zero byte, or the path of a named pipe.
        users: who is trusted.
        where: the address as a person writes it, for errors.

    Raises:
        ConfigError: `PLUGMUX_PEER_USERS` names what is no user of this system.
        OSError: no process listens there.
        UntrustedPeer: the process that listens there is another user's.

    When the listener's backlog is full, this waits without limit: the caller sets a timeout.
    """
    stream = await connect_stream(name)
    try:
        users.check(stream, name if where is None else where)
    except BaseException:
        stream.close()
        raise
    return stream


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _uid(user: str | int) -> UserId:
    """A user by name or number.

    Raises:
        ConfigError: there is no such user.
    """
    try:
        return find_user(str(user))
    except KeyError:
        raise ConfigError(
            f"{str(user)!r} is no user of this system; {PEER_USERS_VARIABLE} and peer_users take names and numbers of "
            "users"
        ) from None
