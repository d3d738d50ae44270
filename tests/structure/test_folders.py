"""The page about the tests names every folder of them."""

import re

from support.tools import ROOT

ELSEWHERE = {"gateway": "remote", "dynamic": "inspector"}
"""Packages without a folder of their own, and one that tests them."""


def test_every_package_has_its_folder_of_tests() -> None:
    packages = {path.parent.name for path in (ROOT / "py/plugmux").glob("*/__init__.py")}
    assert {ELSEWHERE.get(name, name) for name in packages} <= {path.name for path in (ROOT / "tests").iterdir()}
    assert set(ELSEWHERE) <= packages


def test_every_folder_of_tests_has_its_line() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.rglob("*.*"))}
    named = re.findall(r"^\| `([a-z]+)/` \| \S", (ROOT / "tests/README.md").read_text(), re.MULTILINE)
    assert set(named) == {name for name in folders if not name.startswith((".", "__"))}
    assert len(named) == len(set(named))
