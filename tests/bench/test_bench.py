"""The benchmark runs, and its results have the form that others read; how fast anything is, is not asked here."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.tools import ROOT

BENCH = ROOT / "bench"
FIGURES = {
    "unary-serial": {"p50_us", "p99_us", "per_s", "mib_per_s", "n"},
    "stream-64k": {"per_s", "mib_per_s", "n"},
    "raw-bulk": {"per_s", "mib_per_s", "n"},
    "memory": {"mib", "base_mib"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    output = tmp_path_factory.mktemp("results")
    options = ["--rounds", "1", "--seconds", "0.01", "--output", str(output)]
    chosen = ["--works", ",".join(FIGURES), "--systems", "plugmux,floor"]
    path = os.pathsep.join([str(BENCH), str(BENCH / "gen"), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), *options, *chosen],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "failed" not in done.stderr, done.stderr
    return done.stdout, output


def test_every_work_that_a_system_can_do_gives_a_row(run: tuple[str, Path]) -> None:
    results = json.loads((run[1] / "latest.json").read_text())
    rows = {(row.pop("work"), row.pop("system")): set(row) for row in results["rows"]}
    ours = {work: figures for (work, system), figures in rows.items() if system == "plugmux"}
    assert ours == FIGURES
    assert {work for work, system in rows if system == "floor"} == {"unary-serial", "raw-bulk"}


def test_the_versions_are_told(run: tuple[str, Path]) -> None:
    results = json.loads((run[1] / "latest.json").read_text())
    assert {"python", "machine", "protobuf", "h11"} <= set(results["versions"])


def test_the_table_says_which_goals_can_be_judged(run: tuple[str, Path]) -> None:
    assert "memory of a plugin over bare, MiB" in run[0]
    assert "grpc.aio" not in run[0].partition("the goals")[2]


def test_a_ratio_is_taken_in_each_round_and_the_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    goals, table = importlib.import_module("goals"), importlib.import_module("table")
    goal = goals.Goal("calls", "w plugmux p50_us", "w peer p50_us", "<=", 1.0)
    rounds = [{("w", "plugmux"): {"p50_us": ours}, ("w", "peer"): {"p50_us": 10.0}} for ours in (30.0, 5.0, 9.0)]
    assert table.standing(rounds, goal) == table.Standing(0.9, 0.5, 3.0, met=True)
    assert table.standing([{("w", "plugmux"): {"p50_us": 1.0}}], goal) is None
    assert table.medians(rounds)["w", "plugmux"] == {"p50_us": 9.0}


def test_the_chart_is_a_picture_of_every_work(run: tuple[str, Path]) -> None:
    picture = (run[1] / "latest.svg").read_text()
    assert picture.startswith("<svg")
    assert all(work in picture for work in FIGURES)
