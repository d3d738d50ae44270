"""What `make windows` does with tests that hang or end their process, shown on this system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.pytests import FEW_PLUGINS
from windows.run import Outcome, run_to_the_end
from windows.selection import RESULTS

TESTS = """
    import os, pytest, threading

    def test_first(): pass
    def test_hangs(): threading.Event().wait()
    def test_second(): pass
    def test_ends_its_process(): os._exit(0)
    def test_fails(): assert False
    def test_is_skipped(): pytest.skip("for a reason")
    def test_last(): pass
"""


def outcome_of(directory: Path, source: str, limit: float = 240) -> Outcome:
    """Run a file of tests as `make windows` runs a part."""
    (directory / "test_part.py").write_text("\n".join(line.strip() for line in source.splitlines()), "utf-8")
    results = directory / "results.jsonl"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "windows.selection"]
    command += ["--timeout=3", "--timeout-method=thread", f"--rootdir={directory}", "test_part.py"]
    environ = {**os.environ, **FEW_PLUGINS, RESULTS: str(results), "PYTHONPATH": str(Path(__file__).parents[1])}

    def run_rest(seconds: float) -> bytes:
        try:
            return subprocess.run(command, cwd=directory, env=environ, capture_output=True, timeout=seconds).stdout
        except subprocess.TimeoutExpired:
            return b""

    return run_to_the_end("part", results, run_rest, limit)


def names(tests: set[str]) -> set[str]:
    return {test.partition("::test_")[2] for test in tests}


def test_a_test_that_hangs_or_ends_its_process_has_failed_and_the_others_run(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, TESTS)
    assert names(outcome.passed) == {"first", "second", "last"}
    assert names(outcome.failed) == {"hangs", "ends_its_process", "fails"}
    assert outcome.skipped == {"test_part.py::test_is_skipped": "Skipped: for a reason"}
    assert not outcome.broken


@pytest.mark.parametrize("source", ["import os; os._exit(0)", "import nothing_of_that_name"])
def test_a_part_that_cannot_begin_is_broken(tmp_path: Path, source: str) -> None:
    assert outcome_of(tmp_path, source).broken


def test_a_part_has_a_time_limit_of_its_own(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, "import threading; threading.Event().wait()", limit=0.5)
    assert outcome.broken == ", did not come to an end within 0.5 s"
