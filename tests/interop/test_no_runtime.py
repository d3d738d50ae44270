"""A plugin in each language that is given no usable way to a runtime says so in one line, and exits with status 2."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from plugmux.contract.launch import SOCKET_VARIABLE, VARIABLE
from support.tools import LANGUAGES, example_plugin

NOT_OPEN = 9999


@pytest.fixture
def pipe() -> Iterator[int]:
    ends = os.pipe()
    yield ends[0]
    for end in ends:
        os.close(end)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    with (tmp_path / "file").open("wb") as opened:
        yield opened.fileno()


def told(language: str, variable: str, value: str, descriptors: Iterable[int] = ()) -> str:
    """What the plugin says under its name."""
    command = example_plugin(language)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PLUGMUX_")}
    plugin = subprocess.run(
        command,
        env={**environ, variable: value},
        pass_fds=tuple(descriptors),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    name, _, line = plugin.stderr.partition(": ")
    assert (plugin.returncode, plugin.stdout, name) == (2, "", Path(command[-1]).name), plugin.stderr
    assert line.count("\n") == 1, plugin.stderr
    return line


def told_by_launched(language: str, descriptors: Iterable[int] = (), **ends: int) -> str:
    return told(language, VARIABLE, json.dumps({"name": "kv", "timeout": 10**9, **ends}), descriptors)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_descriptor_that_is_not_open_is_told(language: str) -> None:
    line = told_by_launched(language, fd=NOT_OPEN)
    assert f"descriptor {NOT_OPEN}" in line
    assert "bad file descriptor" in line.lower()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_descriptor_beyond_all_descriptors_is_told(language: str) -> None:
    assert f"descriptor {2**40}" in told_by_launched(language, fd=2**40)


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_descriptor_that_is_no_socket_is_told(language: str, file: int, pipe: int) -> None:
    for descriptor in (file, pipe):
        line = told_by_launched(language, [descriptor], fd=descriptor)
        assert f"descriptor {descriptor}" in line
        assert "socket" in line


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_pair_of_descriptors_that_are_no_pipes_is_told(language: str, file: int, pipe: int) -> None:
    line = told_by_launched(language, [file, pipe], r=pipe, w=file)
    assert f"descriptor {file}" in line
    assert "neither a socket nor a pipe" in line


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_address_of_no_known_form_is_told(language: str) -> None:
    assert "write unix:/path or unix:@name" in told(language, SOCKET_VARIABLE, "tcp:1")
