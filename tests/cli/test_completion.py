"""Completion as a shell asks for it: bash itself, where its script is read and the tab key pressed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.forked import Forked
from support.tools import tool

SERVICE = "kv.v1.KeyValueService"

PRESS = """
eval "$SCRIPT"
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
COMP_WORDS=($1)
_python_argcomplete plugmux "${COMP_WORDS[-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""What bash does when the tab key is pressed behind a line."""

Press = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def completion_script() -> str:
    """What `plugmux completion bash` prints."""
    command = [str(Path(sys.executable).parent / "plugmux"), "completion", "bash"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def press(completion_script: str) -> Press:
    """Presses the tab key behind a line; gives what bash would show."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def press(line: str) -> list[str]:
        ran = subprocess.run(
            [tool("bash"), "--norc", "-c", PRESS, "bash", line],
            env={**os.environ, "PATH": programs, "SCRIPT": completion_script},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        return [word.strip() for word in ran.stdout.splitlines() if word.strip()]

    return press


@pytest.fixture
def address(start: Any, plugin: Any, tmp_path: Path) -> str:
    """Where a runtime with two plugins listens."""
    address = f"unix:{tmp_path}/s"
    process = start("--plugin", plugin("store"), "--plugin", f"other={plugin('second')}", "--listen", address)
    assert f"listening on {address}\n" in process.stderr  # It reads on until then.
    return address


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plugmux ca", ["call"]),
        ("plugmux new hello --lang ", ["python", "go", "ts", "all"]),
        ("plugmux get --expl", ["--explain"]),
        ("plugmux completion f", ["fish"]),
    ],
)
def test_commands_options_and_choices_are_completed(press: Press, line: str, shown: list[str]) -> None:
    assert press(line) == shown


NAMES = [
    ("logs --connect {} st", ["store"]),
    ("plugins --connect {} ", ["disable", "enable", "restart"]),
    ("plugins --connect {} restart ", ["other", "store"]),
    ("call --connect {} k", [f"{SERVICE}/"]),
    ("call --connect {} " + f"{SERVICE}/", [f"{SERVICE}/Get", f"{SERVICE}/Put", f"{SERVICE}/Watch"]),
    ("call --connect {} " + f"{SERVICE}/Get --name ot", ["other"]),
    ("describe --connect {} kv", [SERVICE, f"{SERVICE}/"]),
    ("describe --connect {} " + f"{SERVICE}/P", [f"{SERVICE}/Put"]),
    ("call --connect {} no.such.Service/", []),
]


def test_names_are_those_of_the_runtime(press: Press, address: str, tmp_path: Path) -> None:
    """Bash asks once, and the command is asked for the others as bash asks it."""
    first, *others = [("plugmux " + line.format(address), shown) for line, shown in NAMES]
    assert sorted(press(first[0])) == first[1]
    answer = tmp_path / "answer"
    asking = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    for line, shown in others:
        Forked(environ={**asking, "COMP_LINE": line, "COMP_POINT": str(len(line))}).communicate()
        assert sorted(word.strip() for word in answer.read_text().splitlines()) == shown, line


def test_where_there_is_no_runtime_nothing_is_completed(press: Press, tmp_path: Path) -> None:
    assert press(f"plugmux logs --connect unix:{tmp_path}/none st") == []


def test_no_plugin_is_launched_for_a_completion(press: Press, program: Any, tmp_path: Path) -> None:
    trap = program("trap", f"open({str(tmp_path / 'launched')!r}, 'w')")
    assert press(f"plugmux call --plugin {shlex.quote(trap)} kv") == []
    assert not (tmp_path / "launched").exists()


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o nospace -o default -o bashdefault -F _python_argcomplete plugmux"),
        ("zsh", "#compdef plugmux"),
        ("fish", "complete --command plugmux -f -a '(__fish_plugmux_complete)'"),
    ],
)
def test_every_shell_has_its_script(plugmux: Any, shell: str, line: str) -> None:
    ran = plugmux("completion", shell)
    assert (ran.status, ran.stderr) == (0, "")
    assert line in [each.strip() for each in ran.lines]


def test_without_argcomplete_it_is_said_what_to_install(plugmux: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete.shell_integration", None)
    ran = plugmux("completion", "bash")
    assert (ran.status, ran.stdout) == (1, b"")
    assert ran.told == "plugmux: completion needs argcomplete: pip install 'plugmux[completion]'"
