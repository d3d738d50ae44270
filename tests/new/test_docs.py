"""docs/new.md shows what the templates give, to the letter."""

from __future__ import annotations

import argparse

import pytest

from plugmux.cli.commands import new
from plugmux.new.project import Project
from plugmux.new.render import render
from support.pages import examples
from support.tools import ROOT

PAGE = "docs/new.md"
SHOWN = [
    ("python", "src/hello/plugin.py"),
    ("go", "main.go"),
    ("ts", "src/routes.ts"),
    ("ts", "src/hello.ts"),
]


@pytest.mark.parametrize(("language", "path"), SHOWN)
def test_the_page_shows_what_a_project_has(language: str, path: str) -> None:
    assert render(Project("hello", language))[path] in examples(PAGE, language)


@pytest.mark.parametrize("language", ["python", "go", "ts"])
def test_the_page_shows_no_other_code(language: str) -> None:
    assert len(examples(PAGE, language)) == [of for of, _ in SHOWN].count(language)


def test_the_page_names_every_option() -> None:
    parser = new.add(argparse.ArgumentParser().add_subparsers())
    options = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
    page = (ROOT / PAGE).read_text()
    assert {option for option in options if f"| `{option} " in page} == options
