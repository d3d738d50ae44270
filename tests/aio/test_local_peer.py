"""Whose process listens at a unix socket, and what is sent to one of another user: nothing."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugmux.aio import local_peer
from plugmux.aio.local_peer import PeerUsers, UntrustedPeer, connect_trusted
from plugmux.cli.address import NoRuntime, find_runtime
from plugmux.contract.address import Address
from plugmux.errors import ConfigError, ExchangeError
from plugmux.exchange import Request
from plugmux.http import SocketClient
from plugmux.platform import Credentials, credentials
from plugmux.plugin import DialError
from plugmux.plugin.dial import connect, dial

STRANGER = 54_321


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """Listens at `tmp_path / "s"`."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen()
        sock.settimeout(10)
        yield sock


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every listener be of another user."""
    monkeypatch.setattr(local_peer, "credentials", lambda sock: Credentials(1, STRANGER))


def test_the_kernel_tells_who_listens(listener: socket.socket, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(tmp_path / "s"))
        assert credentials(sock) == (os.getpid(), os.geteuid())


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system tell nothing of a peer."""
    monkeypatch.setattr(local_peer, "credentials", lambda sock: None)


@pytest.mark.usefixtures("untold")
def test_a_peer_whose_user_the_system_does_not_tell_is_not_trusted() -> None:
    with socket.socket() as sock, pytest.raises(UntrustedPeer, match="does not tell whose process listens at there"):
        PeerUsers(["root", os.geteuid()]).check(sock, "there")


async def dial_plainly(path: Path) -> None:
    await dial(Address(str(path)), asyncio.Protocol)


async def connect_plainly(path: Path) -> None:
    await connect(str(path), 5.0)


async def fetch(path: Path) -> None:
    await SocketClient(f"unix:{path}").fetch(Request("/secret-of-mine", method="GET"), 1000)


async def send(path: Path) -> None:
    await SocketClient(f"unix:{path}").send(Request("/secret-of-mine", method="GET"))


async def find(path: Path) -> None:
    find_runtime([Address(str(path))])


@pytest.mark.parametrize(
    ("reach", "error"),
    [
        (dial_plainly, DialError),
        (connect_plainly, DialError),
        (fetch, ExchangeError),
        (send, ExchangeError),
        (find, NoRuntime),
    ],
)
@pytest.mark.usefixtures("foreign")
async def test_nothing_is_sent_to_a_listener_of_another_user(
    listener: socket.socket, tmp_path: Path, reach: Callable[[Path], Awaitable[None]], error: type[Exception]
) -> None:
    with pytest.raises(error, match=rf"user {STRANGER}, neither of this user \({os.geteuid()}\) nor of root") as caught:
        await reach(tmp_path / "s")
    assert "PLUGMUX_PEER_USERS" in str(caught.value)
    connection, _ = listener.accept()
    with connection:
        assert connection.recv(1) == b""


@pytest.mark.parametrize("named", [[STRANGER], [str(STRANGER)], [], ["root", STRANGER], f"root, {STRANGER}"])
@pytest.mark.usefixtures("foreign")
def test_users_are_trusted_who_are_named(named: list[Any]) -> None:
    variable = {"PLUGMUX_PEER_USERS": f"root, {STRANGER},"} if not named else {}
    with socket.socket() as sock:
        PeerUsers(named, variable).check(sock, "there")
        with pytest.raises(UntrustedPeer, match="listens at there"):
            PeerUsers([], {"PLUGMUX_PEER_USERS": "root,1"}).check(sock, "there")


def test_names_stand_for_users_of_this_system(monkeypatch: pytest.MonkeyPatch) -> None:
    other = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, os.geteuid()))
    monkeypatch.setattr(local_peer, "credentials", lambda sock: Credentials(1, other.pw_uid))
    with socket.socket() as sock:
        PeerUsers([other.pw_name]).check(sock, "there")
        with pytest.raises(UntrustedPeer, match=other.pw_name):
            PeerUsers().check(sock, "there")
        with pytest.raises(ConfigError, match="'no-such-user' is no user"):
            PeerUsers([], {"PLUGMUX_PEER_USERS": "no-such-user"}).check(sock, "there")
    for unknown in ("no-such-user", "9" * 5_000, "-1", "1\0"):
        with pytest.raises(ConfigError, match="is no user of this system"):
            SocketClient("unix:/s", peer_users=[unknown])


async def test_a_full_queue_of_connections_is_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen(0)
        sock.setblocking(False)
        first = await connect_trusted(str(tmp_path / "s"), PeerUsers())
        second = asyncio.create_task(connect_trusted(str(tmp_path / "s"), PeerUsers()))
        await asyncio.sleep(0)
        assert not second.done()
        accepted, _ = sock.accept()
        (await second).close()
        first.close()
        accepted.close()
