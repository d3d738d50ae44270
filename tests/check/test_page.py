"""The page of the checks, and the table that it is made from."""

from __future__ import annotations

import re

from plugmux.check import CHECKS, GROUPS
from plugmux.check.report import PAGE, to_page
from support.tools import ROOT


def test_the_page_is_made_from_the_checks() -> None:
    """`python -m plugmux.check docs/check.md` makes it anew."""
    assert (ROOT / PAGE).read_text() == to_page(GROUPS)


def test_each_check_has_an_id_of_its_own_a_sentence_and_a_reason() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    for check in CHECKS:
        assert re.fullmatch(r"[a-z]+\.[a-z-]+", check.id)
        assert check.statement.endswith(".")
        assert check.why.endswith(".")
        assert f'<a id="{check.anchor}">' in (ROOT / PAGE).read_text()


def test_each_check_has_its_broken_plugin_and_no_fault_is_without_a_check() -> None:
    """`test_faults.py` runs them: the check of that id fails, and without the fault every check passes."""
    source = "".join(path.read_text() for path in sorted((ROOT / "tests/check/plugin").glob("*.py")))
    groups = "|".join(group.name for group in GROUPS)
    assert set(re.findall(rf'"((?:{groups})\.[a-z-]+)"', source)) == {check.id for check in CHECKS}
