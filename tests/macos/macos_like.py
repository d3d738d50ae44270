"""A pytest plugin for `make macos-like`: leaves out what a simulation cannot show, and says how much, and why."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from left_out import LEFT_OUT

left_out: Counter[str] = Counter()
"""How many tests were left out, by the reason."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what the list names; an entry that names nothing of a file that was collected is an error."""
    assert sys.platform == "darwin", "the simulation is not at work: run `make macos-like`"
    kept, dropped, used = [], [], set()
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        entry = next(
            (entry for entry in LEFT_OUT if name == entry or name.startswith((f"{entry}[", f"{entry}::"))), None
        )
        if entry is None:
            kept.append(item)
        else:
            used.add(entry)
            left_out[LEFT_OUT[entry]] += 1
            dropped.append(item)
    collected = {item.nodeid.removeprefix("tests/").partition("::")[0] for item in items}
    if not config.getoption("keyword"):
        stale = [entry for entry in LEFT_OUT if entry.partition("::")[0] in collected and entry not in used]
        if stale:
            raise pytest.UsageError(f"tests/macos/left_out.py names no test: {', '.join(stale)}")
    if hasattr(config, "workeroutput"):  # This is one of several processes, which all collect the same.
        config.workeroutput["left out"] = dict(left_out)
    config.hook.pytest_deselected(items=dropped)
    items[:] = kept


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what one of several processes has left out."""
    left_out.update({} if left_out else getattr(node, "workeroutput", {}).get("left out", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many tests ran, how many were left out, and why."""
    ran = sum(len(terminalreporter.getreports(kind)) for kind in ("passed", "failed"))
    terminalreporter.write_line(f"macos-like: {ran} tests ran under the simulation, {left_out.total()} were left out:")
    for reason, count in left_out.most_common():
        terminalreporter.write_line(f"{count:5}  {reason}")
