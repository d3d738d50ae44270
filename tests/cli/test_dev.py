"""`plugmux dev`, as a process of its own: what changes is replaced, what fails is told and changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., "subprocess.Popen[str]"]

PLUGIN = """
from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetResponse
from plugmux import Plugin

class Store(KeyValueService):
    async def get(self, request, context):
        return GetResponse(value=b"{answer}")

print("this is {answer}")
Plugin(Store(), version="{version}").run()
"""


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Start]:
    """Starts `plugmux dev` and ends it."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "plugmux.cli", "dev", "--listen", f"unix:{tmp_path}/s", *arguments]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.terminate()
        process.communicate()
        assert process.returncode == 0


def until(process: subprocess.Popen[str], told: str) -> str:
    """Read what it says on stderr up to a line with some words in it, and return all of that."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if told in line:
            return said
    raise AssertionError(f"{told!r} is not in {said!r}")


@pytest.fixture
def kv(program: Any) -> Callable[[str, str], str]:
    """Writes the plugin, whole at once, as an editor does."""

    def write(version: str, answer: str) -> str:
        path: str = program("kv.new", PLUGIN.replace("{answer}", answer).replace("{version}", version))
        os.replace(path, path.removesuffix(".new"))
        return path.removesuffix(".new")

    return write


def answer(plugmux: Any, tmp_path: Path) -> str:
    ran = plugmux("call", "--connect", f"unix:{tmp_path}/s", "kv.v1.KeyValueService/Get")
    assert ran.status == 0, ran.stderr
    return str(ran.stdout)


def test_a_change_of_the_program_replaces_the_plugin(dev: Start, kv: Any, plugmux: Any, tmp_path: Path) -> None:
    process = dev(kv("v1.0.0", "one"))
    assert "this is one" in until(process, "listening on")
    assert "b25l" in answer(plugmux, tmp_path)
    kv("v2.0.0", "two")
    said = until(process, "replaced kv by v2.0.0 (process ")
    assert "this is two" in said
    assert "dHdv" in answer(plugmux, tmp_path)


def test_a_change_that_fails_is_told_and_the_old_one_stays(dev: Start, kv: Any, plugmux: Any, tmp_path: Path) -> None:
    process = dev(kv("v1.0.0", "one"))
    until(process, "listening on")
    Path(kv("v2.0.0", "two")).write_text(f"#!{sys.executable}\nsyntax error\n")
    said = until(process, "plugmux: plugin 'kv': the new one was not taken, and the old one stays: it exited")
    until(process, "SyntaxError")
    assert "replaced" not in said
    assert "b25l" in answer(plugmux, tmp_path)
    kv("v3.0.0", "three")
    until(process, "replaced kv by v3.0.0")


def test_a_plugin_that_does_not_start_is_told_and_mended(dev: Start, kv: Any, program: Any) -> None:
    process = dev(program("kv", "import sys; sys.exit('no database')"))
    until(process, "no database")
    kv("v1.0.0", "one")
    until(process, "replaced kv by v1.0.0")


def test_a_change_in_a_watched_directory_replaces_the_plugin(dev: Start, kv: Any, tmp_path: Path) -> None:
    (tmp_path / "sources" / "deep").mkdir(parents=True)
    process = dev(kv("v1.0.0", "one"), "--watch", str(tmp_path / "sources"))
    until(process, "listening on")
    (tmp_path / "sources" / "deep" / "new.py").write_text("x = 1")
    until(process, "replaced kv by v1.0.0")


def test_a_script_behind_its_interpreter_is_watched(dev: Start, kv: Any) -> None:
    process = dev(f"{sys.executable} {kv('v1.0.0', 'one')}")
    until(process, "listening on")
    kv("v2.0.0", "two")
    until(process, "replaced kv by v2.0.0")
