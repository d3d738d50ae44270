"""Long work shows on a terminal how far it is and what it waits for, and nothing anywhere else."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plugmux.cli.terminal import progress as module
from plugmux.cli.terminal.progress import Step, bar, progress

WAITS = """
import os, sys, time
while not os.path.exists({file!r}):
    time.sleep(0.02)
"""
SLOW = f"""{WAITS}
from plugmux import Plugin
async def app(scope, receive, send):
    raise NotImplementedError
Plugin(app=app).run()
"""


class Terminal:
    """A terminal that a program writes to on stderr."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self.text = ""

    def read_until(self, *texts: str) -> None:
        """Read until all of these texts have been shown."""
        while not all(text in self.text for text in texts):
            self._read()

    def read_to_the_end(self) -> None:
        """Read until nobody has the terminal open any more."""
        os.close(self.theirs)
        while self._read():
            pass

    def _read(self) -> bool:
        try:
            read = os.read(self._ours, 4096)
        except OSError:  # Linux tells the end so.
            read = b""
        self.text += read.decode()
        return bool(read)

    def close(self) -> None:
        os.close(self._ours)

    @property
    def screen(self) -> list[str]:
        """What is left on the terminal, as lines."""
        lines = [line.split("\r\x1b[K")[-1] for line in self.text.replace("\r\n", "\n").split("\n")]
        return [line for line in lines if line]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("step", "seconds", "line"),
    [
        (Step("starting kv"), 0.9, "0 s  starting kv"),
        (Step("starting kv"), 61, "1 min 01 s  starting kv"),
        (Step("starting kv", 0, 3), 2, "[....................] 0/3  2 s  starting kv"),
        (Step("starting kv", 1, 2), 2, "[##########..........] 1/2  2 s  starting kv"),
        (Step("", 7, 7), 2, "[####################] 7/7  2 s  "),
        (Step("more than was said", 9, 7), 2, "[####################] 9/7  2 s  more than was said"),
    ],
)
def test_a_line_has_the_bar_the_time_and_what_is_waited_for(step: Step, seconds: float, line: str) -> None:
    assert bar(step, seconds) == line


def run(terminal: Terminal, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    environment = {**os.environ, "TERM": "xterm"}
    return subprocess.Popen(
        [sys.executable, "-m", "plugmux.cli", *arguments],
        stdout=stdout,
        stderr=terminal.theirs,
        text=True,
        env=environment,
    )


def test_a_slow_start_says_what_it_waits_for_and_leaves_nothing_behind(
    terminal: Terminal, program: Callable[[str, str], str], tmp_path: Path
) -> None:
    slow = program("slow", SLOW.format(file=str(tmp_path / "go on")))
    with run(terminal, "plugins", "--plugin", slow) as command:
        terminal.read_until("0/1  ", "waiting for the registration of slow")
        (tmp_path / "go on").touch()
        assert command.stdout is not None
        assert command.stdout.read().startswith("slow\t")
        terminal.read_to_the_end()
    assert command.returncode == 0
    assert terminal.screen == []


def test_what_is_said_meanwhile_stays_above_the_line(
    terminal: Terminal, program: Callable[[str, str], str], tmp_path: Path
) -> None:
    slow = program("slow", SLOW.format(file=str(tmp_path / "go on")))
    broken = program("broken", WAITS.format(file=str(tmp_path / "fail")) + "sys.exit(7)")
    with run(terminal, "plugins", "--plugin", slow, "--plugin", broken) as command:
        terminal.read_until("0/2  ")
        (tmp_path / "fail").touch()
        terminal.read_until("slow", "status 7")
        terminal.read_until("1/2  ")
        (tmp_path / "go on").touch()
        command.communicate()
        terminal.read_to_the_end()
    assert terminal.screen
    assert all(line.startswith(("WARNING", "ERROR", "  ", "plugmux:")) for line in terminal.screen), terminal.screen


def test_a_new_project_says_which_tool_it_waits_for(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "go").write_text(f"#!/bin/sh\nuntil [ -e '{tmp_path}/go on' ]; do sleep 0.05; done\n")
    (tools / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    project = ("hello", "--lang=go", "--kind=secrets", "--dir", str(tmp_path / "p"))
    with run(terminal, "new", *project) as command:
        terminal.read_until("0/1  ", "go mod tidy in ")
        (tmp_path / "go on").touch()
        command.communicate()
        terminal.read_to_the_end()
    assert command.returncode == 0
    assert [line for line in terminal.screen if not line.startswith("see ")] == []


def test_nothing_is_drawn_where_stderr_is_no_terminal(
    program: Callable[[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a terminal the line would be drawn within this second.
    slow = program("slow", "import time; time.sleep(1)" + SLOW.format(file=__file__))
    ran = subprocess.run(
        [sys.executable, "-m", "plugmux.cli", "plugins", "--plugin", slow], capture_output=True, text=True, check=True
    )
    assert "\x1b" not in ran.stderr
    assert "0/1" not in ran.stderr


async def test_an_error_of_the_work_is_raised_as_it_is_and_drawing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(module, "shows_status", lambda: True)
    monkeypatch.setattr(module, "write_status", lines.append)
    monkeypatch.setattr(module, "DELAY", 0.0)
    drawn = asyncio.Event()

    def step() -> Step:
        drawn.set()
        return Step("working")

    async def work() -> None:
        async with progress(step):
            await drawn.wait()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert "0 s  working" in lines
    assert lines[-1] == ""
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
