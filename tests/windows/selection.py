"""A plugin of pytest: leaves out the tests that Wine cannot show, each for a reason in `left-out.txt`, and counts.

A row is a pattern of test ids, two spaces or more, and the reason. A pattern without `::` leaves out a whole file or
folder, which is then not even imported. A row that no test answers to fails the run: the table cannot outlive its
reasons.
"""

from __future__ import annotations

import json
import os
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

TABLE = Path(__file__).with_name("left-out.txt")
RESULTS = "PLUGMUX_WINDOWS_RESULTS"
"""The variable that names the file that the counts are written to."""


def rows() -> dict[str, str]:
    """The reasons by pattern."""
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    return {pattern: reason.strip() for pattern, reason in (line.split("  ", 1) for line in lines)}


class LeftOut:
    """Leaves tests out and counts what became of the others."""

    def __init__(self) -> None:
        self.rows = rows()
        self.used: set[str] = set()
        self.left_out: dict[str, int] = {}
        self.skipped: dict[str, str] = {}
        self.outcomes = {"passed": 0, "failed": 0}

    @pytest.hookimpl
    def pytest_ignore_collect(self, collection_path: Path, config: pytest.Config) -> bool | None:
        name = collection_path.relative_to(config.rootpath).as_posix()
        if name not in self.rows:
            return None
        self.used.add(name)
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept, gone = list[pytest.Item](), list[pytest.Item]()
        for item in items:
            pattern = next((row for row in self.rows if "::" in row and _answers(item.nodeid, row)), None)
            (kept if pattern is None else gone).append(item)
            if pattern is not None:
                self.used.add(pattern)
                self.left_out[pattern] = self.left_out.get(pattern, 0) + 1
        items[:] = kept
        config.hook.pytest_deselected(items=gone)

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self.skipped[report.nodeid] = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else "")
        elif report.failed:
            self.outcomes["failed"] += 1
        elif report.when == "call":
            self.outcomes["passed"] += 1

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if path := os.environ.get(RESULTS):
            told = {**self.outcomes, "left_out": self.left_out, "skipped": self.skipped, "used": sorted(self.used)}
            Path(path).write_text(json.dumps({**told, "exit": int(exitstatus)}), "utf-8")


def _answers(nodeid: str, pattern: str) -> bool:
    """Whether a test's id answers to a pattern, in which brackets stand for themselves."""
    return fnmatchcase(nodeid, pattern.replace("[", "[[]"))


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin."""
    config.pluginmanager.register(LeftOut(), "left out")
