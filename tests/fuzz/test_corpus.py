"""Every input of the fuzzers' corpus, those among them that once made one fail, holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.run import NAMES, check_of, corpus_of

INPUTS = [pytest.param(name, path, id=f"{name}/{path.name}") for name in NAMES for path in corpus_of(name)]


@pytest.mark.parametrize(("name", "path"), INPUTS)
def test_an_input_of_the_corpus_holds(name: str, path: Path) -> None:
    check_of(name)(path.read_bytes())


def test_every_fuzzer_has_a_corpus() -> None:
    assert {name for name in NAMES if corpus_of(name)} == set(NAMES)
