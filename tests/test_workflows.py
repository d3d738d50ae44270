"""The workflows run what everybody can: each job is one target of the Makefile. (`make lint` checks their syntax.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.tools import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
RUN = re.compile(r"run: make (\S+)(.*)")
MATRIX = re.compile(r"^ +target: \[(.*)\]$", re.MULTILINE)
PUBLISHES = {"docs.yml: publish", "release.yml: publish"}
"""Jobs that take what another has made to where it is published."""


def jobs(workflow: Path) -> dict[str, str]:
    """The jobs of a workflow, each as its text."""
    _, _, text = workflow.read_text().partition("\njobs:\n")
    parts = re.split(r"^  (\w+):\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


JOBS = {f"{path.name}: {name}": text for path in WORKFLOWS for name, text in jobs(path).items()}


def test_there_are_the_workflows_of_a_public_repository() -> None:
    assert [path.name for path in WORKFLOWS] == ["docs.yml", "release.yml", "test.yml", "wheels.yml"]
    runners = " ".join(JOBS.values())
    assert {"ubuntu-24.04", "ubuntu-24.04-arm", "macos-15", "windows-2025"} <= set(
        re.findall(r"[a-z]+-[0-9.]+[a-z-]*", runners)
    )


@pytest.mark.parametrize("name", [name for name in JOBS if name not in PUBLISHES])
def test_a_job_is_one_target_that_runs_anywhere(name: str) -> None:
    ((target, options),) = RUN.findall(JOBS[name])
    named = [target]
    if target == "${{":
        assert options == " matrix.target }}"
        named = MATRIX.findall(JOBS[name])[0].split(", ")
    assert set(named) <= TARGETS
    assert "timeout-minutes:" in JOBS[name]
