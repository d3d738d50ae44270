"""The official conformance suite against our server and our client: every case passes, no lists of exceptions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROGRAMS = HERE / "conformance"
RUNNER = "connectrpc.com/conformance/cmd/connectconformance@v1.0.6"


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The suite's runner: that of the checkout's tools or of PATH, or else built from the Go module."""
    path = os.pathsep.join([str(ROOT / "bin"), os.environ.get("PATH", "")])
    if found := shutil.which("connectconformance", path=path):
        return found
    folder = tmp_path_factory.mktemp("bin")
    subprocess.run(["go", "install", RUNNER], check=True, cwd=folder, env={**os.environ, "GOBIN": str(folder)})
    return str(folder / "connectconformance")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the programs under test find the suite's messages."""
    folder = tmp_path_factory.mktemp("conformance")
    subprocess.run([sys.executable, PROGRAMS / "protos.py", folder], check=True)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "py", folder, PROGRAMS)))}


@pytest.mark.parametrize(
    ("mode", "program", "cases"),
    [
        ("server", ["server.py"], 1512),
        ("server", ["server.py", "--link"], 1512),
        ("client", ["client.py"], 1630),
        ("client", ["client.py", "--socket"], 1630),
    ],
    ids=["server", "server-over-a-link", "client-httpx", "client-socket"],
)
def test_every_case_passes(
    runner: str,
    environment: dict[str, str],
    mode: str,
    program: list[str],
    cases: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [runner, "--mode", mode, "--conf", str(PROGRAMS / "config.yaml"), "--"]
    result = subprocess.run(
        [*command, sys.executable, str(PROGRAMS / program[0]), *program[1:]],
        env=environment,
        capture_output=True,
        text=True,
    )
    counts = re.search(r"(\d+) passed, (\d+) failed", result.stdout)
    assert counts is not None, result.stdout + result.stderr
    with capsys.disabled():
        print(f"\nconformance, {' '.join(program)}: {counts[0]}")
    assert (int(counts[1]), int(counts[2])) == (cases, 0), result.stdout[-5000:]
