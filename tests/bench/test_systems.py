"""Every system that `make bench` measures in Go, in Node.js and on a socket does its work, for an instant."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.tools import ROOT, go_build, npm_build, npm_ci

BENCH = ROOT / "bench"
CALLS = {"work", "system", "p50_us", "p99_us", "per_s", "mib_per_s", "n"}
STREAM = {"work", "system", "per_s", "mib_per_s", "n"}
WORKS = {"unary-16": CALLS, "ts-unary-16": CALLS, "socket-json-64": CALLS, "stream-100b": STREAM}
SYSTEMS = ("plugmux-go", "plugmux-ts", "grpc-js", "connect-node", "connect-go", "uvicorn-fastapi")


@pytest.fixture(scope="module")
def run() -> Iterator[Any]:
    """`bench/run.py`, with what its programs need."""
    go_build("bench/peers", ".", "bench-peers")
    go_build("bench/peers", "./plugin", "bench-plugin")
    npm_build("ts")
    npm_ci("bench/node")
    paths = [str(BENCH), str(BENCH / "gen"), os.environ["PYTHONPATH"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.syspath_prepend(str(BENCH))
        yield importlib.import_module("run")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_does_its_works(run: Any, system: str) -> None:
    works = [work for work in run.COMMANDS[system][1] if work in WORKS]
    rows = rows_of(run, system, works)
    assert {row["work"]: set(row) for row in rows} == {work: WORKS[work] for work in works}
    assert {row["system"] for row in rows} == {system}


@pytest.mark.timeout(600)
def test_the_socket_of_a_runtime_is_under_the_same_load(run: Any) -> None:
    (row,) = rows_of(run, "plugmux", ["socket-json-64"])
    assert set(row) == CALLS


@pytest.mark.timeout(600)
def test_a_work_of_scale_gives_a_slope(run: Any) -> None:
    works = ["instances-100k", "resolver-200"]
    rows = {row["work"]: set(row) for row in rows_of(run, "plugmux", works)}
    common = {"work", "system", "p50_us", "p99_us", "base_p50_us", "slope_ns", "n"}
    assert rows == {"instances-100k": common | {"per_s", "mib"}, "resolver-200": common | {"all_us"}}


def rows_of(run: Any, system: str, works: list[str]) -> list[dict[str, Any]]:
    """What a system prints of an instant of these works."""
    done = subprocess.run(run.command(system, works, 0.001), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_goal_is_about_figures_that_are_measured(run: Any) -> None:
    for goal in run.GOALS:
        for words in filter(None, (goal.ours, goal.theirs)):
            work, system, _ = words.split()
            assert work in run.COMMANDS[system][1], goal.what


def test_each_system_is_explained_on_the_page(run: Any) -> None:
    page = (BENCH / "README.md").read_text()
    rows = [line for line in page.partition("## Results")[0].splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in row.split("|")[1].replace("`", "").replace(" ", "").split(",")}
    assert {*run.COMMANDS, *run.WORKS} == told


def test_a_server_that_answers_otherwise_is_told(tmp_path: Path) -> None:
    """The clients of a socket look at each answer."""
    peers = go_build("bench/peers", ".", "bench-peers")
    answers = "require('http').createServer((_, answer) => answer.end('other'))"
    ready = ".listen(process.argv[1], () => console.log('ready'))"
    with subprocess.Popen(["node", "-e", answers + ready, str(tmp_path / "s")], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        done = subprocess.run(
            [peers, "-seconds", "0.001", "load", "other", str(tmp_path / "s")],
            capture_output=True,
            text=True,
            check=False,
        )
        server.kill()
    assert done.returncode == 1
    assert "200 OK in place of what was sent: other" in done.stderr
    assert done.stdout == ""
