"""The page about the tests names every folder of them."""

import re

from support.tools import ROOT


def test_every_folder_of_tests_has_its_line() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.rglob("*.*"))}
    named = re.findall(r"^\| `([a-z]+)/` \| \S", (ROOT / "tests/README.md").read_text(), re.MULTILINE)
    assert set(named) == {name for name in folders if not name.startswith((".", "__"))}
    assert len(named) == len(set(named))
