"""What bench/lines counts really runs, and plugmux needs the fewest lines of those whose calls are typed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.tools import ROOT

sys.path.insert(0, str(ROOT / "bench/lines"))

from count_lines import LINES, PROTO, SYSTEMS, System, count, lines, run


@pytest.mark.timeout(600)
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_the_host_does_its_job_with_the_plugin(system: System) -> None:
    assert run(system) == "1"


def test_every_file_of_a_system_is_counted() -> None:
    for system in SYSTEMS:
        written = {str(path.relative_to(LINES / system.name)) for path in (LINES / system.name).rglob("*.[pg][yo]")}
        assert written == {*system.plugin, *system.host, *system.shared}, system.name


def test_plugmux_needs_the_fewest_lines_of_the_typed_systems() -> None:
    totals = {}
    for system in SYSTEMS:
        schema = count(PROTO) if system.typed == "proto" else 0
        totals[system.name] = lines(system, system.plugin + system.host + system.shared) + schema
    typed = {system.name for system in SYSTEMS if system.typed != "no"}
    assert min(typed, key=totals.__getitem__) == "plugmux"


def test_comments_and_blank_lines_do_not_count() -> None:
    assert count("a\n\n  # b\n// c\n  d # e\n") == 2


def test_the_table_of_the_page_is_the_one_that_is_counted() -> None:
    page = Path(ROOT / "bench/README.md").read_text()
    for system in SYSTEMS:
        plugin, host, shared = (lines(system, files) for files in (system.plugin, system.host, system.shared))
        shared += count(PROTO) if system.typed == "proto" else 0
        row = f"| {system.name} | {system.typed} | {plugin} | {host} | {shared} | {plugin + host + shared} |"
        assert row in page
