"""`make` says in one line which tool it misses, or which is too old, before that tool says anything itself."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.tools import ROOT, tool

OLD_GO = """
case $1 in
  env) echo go1.25.3 ;;
  *) echo "go: go.mod requires go >= 1.26.0 (running go 1.25.3; GOTOOLCHAIN=local)" >&2; exit 1 ;;
esac
"""
OLD_NODE = """
case $1 in
  --version) echo v18.20.8 ;;
  *) exit 1 ;;
esac
"""
ANY = ""


def make(directory: Path, target: str, tools: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run make where these shell scripts are all the tools that it finds."""
    (directory / "find").symlink_to(tool("find"))
    for name, source in tools.items():
        (directory / name).write_text(f"#!/bin/sh\n{source}")
        (directory / name).chmod(0o755)
    return subprocess.run(
        [tool("make"), "--silent", "--directory", str(ROOT), target],
        env={"PATH": str(directory)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("target", "tools", "line"),
    [
        ("has-go", {}, "this needs Go 1.26 or newer, and there is no 'go' on PATH"),
        ("has-go", {"go": OLD_GO}, "this needs Go 1.26 or newer, and 'go' is go1.25.3"),
        ("has-node", {}, "this needs Node.js 20 or newer, and there is no 'node' on PATH"),
        ("has-node", {"npm": ANY}, "this needs Node.js 20 or newer, and there is no 'node' on PATH"),
        ("has-node", {"node": ANY}, "this needs Node.js 20 or newer, and there is no 'npm' on PATH"),
        ("has-node", {"node": OLD_NODE, "npm": ANY}, "this needs Node.js 20 or newer, and 'node' is v18.20.8"),
    ],
)
def test_a_tool_that_is_missing_or_too_old_is_told(
    target: str, tools: Mapping[str, str], line: str, tmp_path: Path
) -> None:
    made = make(tmp_path, target, tools)
    assert made.returncode == 2
    assert made.stdout == ""
    said = [text for text in made.stderr.splitlines() if not text.startswith("make: ")]
    assert said == [line]


@pytest.mark.parametrize(("target", "tools"), [("has-go", ["go"]), ("has-node", ["node", "npm"])])
def test_tools_that_are_there_and_new_enough_pass(target: str, tools: list[str], tmp_path: Path) -> None:
    made = make(tmp_path, target, {name: f'HOME={Path.home()} exec {tool(name)} "$@"' for name in tools})
    assert (made.returncode, made.stderr) == (0, "")
