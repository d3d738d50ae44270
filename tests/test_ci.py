"""What must hold before anything lands is held: `.ci/run`, with a make that does as it is told."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.tools import ROOT, tool

GENERATED = ("gen", "examples/gen", "bench/gen", "tests/interop/gen")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with folders of generated code, committed."""
    root = tmp_path / "checkout"
    for folder in GENERATED:
        (root / folder).mkdir(parents=True)
        (root / folder / "kv_pb2.py").write_text("")
    (root / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", root / ".ci/run")
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(variable)  # Within a hook it names the repository that the hook is of.
    author = ["-c", "user.name=plugmux", "-c", "user.email=plugmux@localhost"]
    for arguments in (["init"], ["add", "."], [*author, "commit", "--message=The code"]):
        subprocess.run([tool("git"), *arguments], cwd=root, check=True, capture_output=True, timeout=30)
    return root


def ci(checkout: Path, generate: str) -> subprocess.CompletedProcess[str]:
    """Run it where `make generate` is this shell command, and every other target holds."""
    tools = checkout.parent / "tools"
    tools.mkdir()
    (tools / "make").write_text(f'#!/bin/sh\n[ "$1" != generate ] || {generate}\n')
    (tools / "make").chmod(0o755)
    return subprocess.run(
        [str(checkout / ".ci/run")],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_what_generates_nothing_else_may_land(checkout: Path) -> None:
    result = ci(checkout, "true")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("folder", GENERATED)
def test_a_file_that_is_generated_and_not_committed_may_not(checkout: Path, folder: str) -> None:
    result = ci(checkout, f"touch {folder}/new_pb2.py")
    assert result.returncode == 1
    assert f"{folder}/new_pb2.py" in result.stderr


@pytest.mark.parametrize("folder", GENERATED)
def test_a_file_that_is_generated_in_another_way_may_not(checkout: Path, folder: str) -> None:
    result = ci(checkout, f"echo new > {folder}/kv_pb2.py")
    assert result.returncode == 1
    assert f"{folder}/kv_pb2.py" in result.stdout


def commands(environment: str) -> set[str]:
    """The words of what an environment of tox runs."""
    tox = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["tox"]
    told = tox["env"].get(environment, tox["env_run_base"])
    return {word for command in told["commands"] for word in command if isinstance(word, str)}


def test_what_one_environment_leaves_out_another_step_runs() -> None:
    left_out = {word.removeprefix("--ignore=") for word in commands("newest") if word.startswith("--")}
    elsewhere = (
        commands("languages")
        | commands("benchmarks")
        | set((ROOT / "Makefile").read_text().partition("\nconformance:")[2].split())
    )
    assert {folder for folder in left_out if folder.startswith("tests/")} <= elsewhere
    steps = (ROOT / ".ci/run").read_text()
    assert [
        target
        for target in ("test", "lowest", "benchmarks", "conformance", "faults")
        if f"; make {target}\n" not in steps
    ] == []


def test_each_python_runs_the_whole_suite() -> None:
    words = commands("py314")
    assert "pytest" in words
    assert {word for word in words if word.startswith(("--ignore", "--deselect", "tests"))} == set()


def test_one_run_on_each_python_at_a_time_since_each_installs_plugmux_anew() -> None:
    (ROOT / "build/pythons").mkdir(parents=True, exist_ok=True)
    with (ROOT / "build/pythons/.lock").open("w") as lock:
        with contextlib.suppress(BlockingIOError):  # The run that this is a test of has it.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        command = [sys.executable, str(ROOT / "tests/pythons/run.py"), "--only", "2.0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "another run is under way" in done.stderr
