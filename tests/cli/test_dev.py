"""`plugmux dev`, as a process of its own: what changes is replaced, what fails is told and changes nothing."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.forked import Forked
from support.programs import kv_script

Start = Callable[..., Forked]

PLUGIN = """
from plugmux import Plugin

print("{words}")
Plugin(version="{version}").run()
"""


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Start]:
    """Starts `plugmux dev` and ends it."""
    running: list[Forked] = []

    def start(*arguments: str) -> Forked:
        running.append(Forked("dev", "--listen", f"unix:{tmp_path}/s", *arguments))
        return running[-1]

    yield start
    for process in running:
        process.terminate()
        process.communicate()
        assert process.returncode == 0


def until(process: Forked, told: str) -> str:
    """Read what it says on stderr up to a line with some words in it, and return all of that."""
    said = ""
    for line in process.stderr:
        said += line
        if told in line:
            return said
    raise AssertionError(f"{told!r} is not in {said!r}")


@pytest.fixture
def kv(tmp_path: Path) -> Callable[[str], str]:
    """Writes the plugin, whole at once, as an editor does."""

    def write(version: str) -> str:
        path = kv_script(tmp_path, "kv.new", version)
        os.replace(path, path.replace(".new", ""))
        return path.replace(".new", "")

    return write


def version(plugmux: Any, tmp_path: Path) -> str:
    ran = plugmux("call", "--connect", f"unix:{tmp_path}/s", "kv.v1.KeyValueService/Get", '{"key": "version"}')
    assert ran.status == 0, ran.stderr
    return base64.b64decode(json.loads(ran.stdout)["value"]).decode()


def test_a_change_of_the_program_replaces_the_plugin(dev: Start, kv: Any, plugmux: Any, tmp_path: Path) -> None:
    process = dev(kv("v1.0.0"))
    until(process, "listening on")
    assert version(plugmux, tmp_path) == "v1.0.0"
    kv("v2.0.0")
    until(process, "replaced kv by v2.0.0 (process ")
    assert version(plugmux, tmp_path) == "v2.0.0"


def test_a_change_that_fails_is_told_and_the_old_one_stays(dev: Start, kv: Any, plugmux: Any, tmp_path: Path) -> None:
    process = dev(kv("v1.0.0"))
    until(process, "listening on")
    Path(kv("v2.0.0")).write_text(f"#!{sys.executable}\nsyntax error\n")
    said = until(process, "plugmux: plugin 'kv': the new one was not taken, and the old one stays: it exited")
    until(process, "SyntaxError")
    assert "replaced" not in said
    assert version(plugmux, tmp_path) == "v1.0.0"
    kv("v3.0.0")
    until(process, "replaced kv by v3.0.0")


def test_a_plugin_that_does_not_start_is_told_and_mended(dev: Start, kv: Any, program: Any) -> None:
    process = dev(program("kv", "import sys; sys.exit('no database')"))
    until(process, "no database")
    kv("v1.0.0")
    until(process, "replaced kv by v1.0.0")


def test_a_change_in_a_watched_directory_replaces_the_plugin(dev: Start, kv: Any, tmp_path: Path) -> None:
    (tmp_path / "sources" / "deep").mkdir(parents=True)
    process = dev(kv("v1.0.0"), "--watch", str(tmp_path / "sources"))
    until(process, "listening on")
    (tmp_path / "sources" / "deep" / "new.py").write_text("x = 1")
    until(process, "replaced kv by v1.0.0")


def test_a_script_behind_its_interpreter_is_watched_and_what_it_prints_is_shown(dev: Start, program: Any) -> None:
    def write(version: str, words: str) -> str:
        path: str = program("kv", PLUGIN.format(version=version, words=words))
        return path

    process = dev(f"{sys.executable} {write('v1.0.0', 'this is one')}")
    assert "this is one" in until(process, "listening on")
    write("v2.0.0", "this is two")
    assert "this is two" in until(process, "replaced kv by v2.0.0")
