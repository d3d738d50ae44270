"""Where the runtime's socket is."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from plugmux.cli.address import NoRuntime, default_addresses, find_runtime
from plugmux.contract.address import Address
from plugmux.errors import ConfigError


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/h"}, ["unix:/h/.cache/plugmux/runtime.sock"]),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/c"}, ["unix:/c/plugmux/runtime.sock"]),
        (
            {"HOME": "/h", "XDG_RUNTIME_DIR": "/r"},
            ["unix:/r/plugmux/runtime.sock", "unix:/h/.cache/plugmux/runtime.sock"],
        ),
        ({"HOME": "/h", "XDG_RUNTIME_DIR": "/r", "PLUGMUX_SOCKET": "unix:/s"}, ["unix:/s"]),
        ({"HOME": "/h", "PLUGMUX_SOCKET": "unix:@name"}, ["unix:@name"]),
        ({"HOME": "/h", "PLUGMUX_SOCKET": ""}, ["unix:/h/.cache/plugmux/runtime.sock"]),
    ],
)
def test_the_default_is_the_users_own(environ: dict[str, str], expected: list[str]) -> None:
    assert [str(address) for address in default_addresses(environ)] == expected


@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "HOME"])
def test_a_path_that_is_too_long_is_said_before_it_fails(variable: str) -> None:
    with pytest.raises(ConfigError, match="choose a shorter path"):
        default_addresses({"HOME": "/h", variable: "/" + "x" * 120})


def test_the_first_address_where_somebody_listens_is_taken(tmp_path: Path) -> None:
    addresses = [Address(str(tmp_path / name)) for name in ("missing", "dead", "live", "also-live")]
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(addresses[1].sockaddr)
    with socket.socket(socket.AF_UNIX) as live, socket.socket(socket.AF_UNIX) as also:
        for sock, address in ((live, addresses[2]), (also, addresses[3])):
            sock.bind(address.sockaddr)
            sock.listen()
        assert find_runtime(addresses) == addresses[2]


def test_a_client_that_finds_no_runtime_lists_every_address_with_its_reason(tmp_path: Path) -> None:
    addresses = [Address(str(tmp_path / "missing")), Address(str(tmp_path / "dead")), Address("@plugmux-test-nobody")]
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(addresses[1].sockaddr)
    with pytest.raises(NoRuntime) as caught:
        find_runtime(addresses)
    assert str(caught.value).splitlines()[:4] == [
        "no runtime found; tried",
        f"  unix:{tmp_path}/missing: No such file or directory",
        f"  unix:{tmp_path}/dead: Connection refused",
        "  unix:@plugmux-test-nobody: Connection refused",
    ]


@pytest.mark.parametrize("command", [["plugins"], ["get", "a"], ["call", "a.B/C"]])
def test_every_client_command_without_a_runtime_fails_with_that_list(
    plugmux: Any, command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    ran = plugmux(*command)
    assert (ran.status, ran.stdout) == (1, b"")
    for directory in (tmp_path, tmp_path / "cache"):
        assert f"  unix:{directory}/plugmux/runtime.sock: No such file" in ran.stderr
    ran = plugmux(*command, "--connect", f"unix:{tmp_path}/mine")
    assert (ran.status, ran.stderr.count("unix:")) == (1, 1)
