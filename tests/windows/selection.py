"""A plugin of pytest: leaves out the tests that Wine cannot show, each for a reason in `left-out.txt`, and counts.

A row is a pattern of test ids, two spaces or more, and the reason. A pattern without `::` leaves out a whole file or
folder, which is then not even imported. A row that no test answers to fails the run: the table cannot outlive its
reasons.

What becomes of each test is appended to a file at once: a run that a hanging test has ended is gone on with by another
process, which leaves out whatever had begun.
"""

from __future__ import annotations

import json
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

TABLE = Path(__file__).with_name("left-out.txt")
RESULTS = "PLUGMUX_WINDOWS_RESULTS"
"""The variable that names the file that the counts are written to."""


def rows() -> dict[str, str]:
    """The reasons by pattern."""
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    return {pattern: reason.strip() for pattern, reason in (line.split("  ", 1) for line in lines)}


class LeftOut:
    """Leaves tests out and tells what became of the others, a line of JSON for each."""

    def __init__(self) -> None:
        self.rows = rows()
        self.results = Path(path) if (path := os.environ.get(RESULTS)) else None
        self.begun = {id for told in read(self.results) for id in told.get("began", ())} if self.results else set[str]()

    def tell(self, **told: object) -> None:
        """Append a line to the results."""
        if self.results is not None:
            with self.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")

    @pytest.hookimpl
    def pytest_ignore_collect(self, collection_path: Path, config: pytest.Config) -> bool | None:
        name = collection_path.relative_to(config.rootpath).as_posix()
        if name not in self.rows:
            return None
        self.tell(left_out={name: 0})
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept, gone, left_out = list[pytest.Item](), list[pytest.Item](), dict[str, int]()
        for item in items:
            pattern = next((row for row in self.rows if "::" in row and _answers(item.nodeid, row)), None)
            (kept if pattern is None and item.nodeid not in self.begun else gone).append(item)
            if pattern is not None:
                left_out[pattern] = left_out.get(pattern, 0) + 1
        items[:] = kept
        self.tell(left_out=left_out)
        config.hook.pytest_deselected(items=gone)

    @pytest.hookimpl
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.tell(began=[nodeid])

    @pytest.hookimpl
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.tell(ended=[nodeid])

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else "")
            self.tell(skipped={report.nodeid: reason})
        elif report.failed:
            self.tell(failed=[report.nodeid])
        elif report.when == "call":
            self.tell(passed=[report.nodeid])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.tell(exit=int(exitstatus))


def read(results: Path) -> list[dict[str, Any]]:
    """What has been told so far."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text("utf-8").splitlines()]


def _answers(nodeid: str, pattern: str) -> bool:
    """Whether a test's id answers to a pattern, in which brackets stand for themselves."""
    return fnmatchcase(nodeid, pattern.replace("[", "[[]"))


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin."""
    config.pluginmanager.register(LeftOut(), "left out")
