"""`plugmux logs` and `plugmux events`, of a runtime in a process of its own."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.forked import Forked

PRINTED = "a plugin may print what it likes"


@pytest.fixture
def shared(serving: Any) -> str:
    """Where a runtime with two plugins listens, which no test changes."""
    return str(serving("vault", "other"))


@pytest.fixture
def address(start: Any, plugin: Any, tmp_path: Path) -> str:
    """Where a runtime with two plugins of the test's own listens."""
    address = f"unix:{tmp_path}/s"
    process = start("--plugin", plugin("vault"), "--plugin", plugin("other"), "--listen", address)
    assert process.stderr.readline() == f"listening on {address}\n"
    return address


@contextmanager
def following(*arguments: str) -> Iterator[Iterator[list[str]]]:
    """The lines that a command prints as it goes, in words."""
    process = Forked(*arguments)
    try:
        yield (line.rstrip("\n").split("\t") for line in process.stdout)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def test_the_last_lines_of_every_plugin_are_printed(plugmux: Any, shared: str) -> None:
    ran = plugmux("logs", "--connect", shared)
    assert (ran.status, ran.stderr) == (0, "")
    words = sorted(line.split("\t")[1:] for line in ran.lines)
    assert words == [["info", "other", PRINTED], ["info", "vault", PRINTED]]


def test_the_lines_of_one_plugin_are_printed_as_json(plugmux: Any, shared: str) -> None:
    (line,) = plugmux("logs", "vault", "--json", "--connect", shared).lines
    told = json.loads(line)
    assert told.pop("time").endswith("Z")
    assert told == {"plugin": "vault", "source": "stdout", "level": "info", "message": PRINTED, "fields": {}}


def test_a_plugin_that_is_not_known_is_a_failure(plugmux: Any, shared: str) -> None:
    ran = plugmux("logs", "nobody", "--connect", shared)
    assert (ran.status, ran.lines) == (1, [])
    assert "known: other, vault" in ran.stderr


def test_following_prints_what_comes(plugmux: Any, address: str) -> None:
    with following("logs", "vault", "-f", "--connect", address) as lines:
        assert next(lines)[2:] == ["vault", PRINTED]
        assert plugmux("plugins", "restart", "vault", "--connect", address).status == 0
        assert next(lines)[2:] == ["vault", PRINTED]


def test_events_tell_how_plugins_stand_and_then_every_change(plugmux: Any, address: str) -> None:
    with following("events", "--connect", address) as lines:
        assert [next(lines)[1:] for _ in range(2)] == [[name, "running", "serving", ""] for name in ("other", "vault")]
        assert plugmux("plugins", "disable", "vault", "--connect", address).status == 0
        assert [next(lines)[1:4] for _ in range(2)] == [
            ["vault", state, "unknown"] for state in ("stopping", "disabled")
        ]
        assert plugmux("plugins", "enable", "vault", "--connect", address).status == 0
        states = [next(lines)[2:4] for _ in range(3)]
    assert states == [["starting", "unknown"], ["registering", "unknown"], ["running", "serving"]]


def test_events_as_json_name_the_state_before(shared: str) -> None:
    with following("events", "--json", "--connect", shared) as lines:
        (line,) = next(lines)
        told = json.loads(line)
    assert told.pop("time").endswith("Z")
    assert told == {"plugin": "other", "state": "running", "health": "serving", "status": "", "before": "running"}


@pytest.mark.parametrize("command", ["logs", "events"])
def test_without_a_runtime_both_say_where_they_looked(plugmux: Any, command: str, tmp_path: Path) -> None:
    ran = plugmux(command, "--connect", f"unix:{tmp_path}/none")
    assert (ran.status, ran.lines) == (1, [])
    assert f"{tmp_path}/none" in ran.stderr
