"""One version: Python, TypeScript and Go move together, and so do the templates of `plugmux new`."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from plugmux.contract.version import VERSION
from plugmux.new.project import Project
from plugmux.new.render import render

ROOT = Path(__file__).parents[2]
NUMBER = VERSION.removeprefix("v")


def read(path: str) -> str:
    return (ROOT / path).read_text()


def test_the_three_packages_have_one_version() -> None:
    assert re.fullmatch(r"v\d+\.\d+\.\d+", VERSION)  # the tag of the Go module
    assert tomllib.loads(read("pyproject.toml"))["project"]["version"] == NUMBER
    assert json.loads(read("ts/package.json"))["version"] == NUMBER
    assert json.loads(read("package-lock.json"))["packages"]["ts"]["version"] == NUMBER


def test_the_go_module_is_at_the_root_so_that_its_tag_has_no_prefix() -> None:
    assert read("go.mod").splitlines()[0] == "module plugmux.dev"


def test_the_examples_use_this_version() -> None:
    for package in (ROOT / "examples").glob("*/package.json"):
        assert json.loads(package.read_text())["dependencies"]["plugmux"] == NUMBER, package


def test_a_new_project_asks_for_this_version() -> None:
    assert f'"plugmux>={NUMBER}"' in render(Project("hello", "python"))["pyproject.toml"]
    assert json.loads(render(Project("hello", "ts"))["package.json"])["dependencies"]["plugmux"] == f"^{NUMBER}"
    assert f"require plugmux.dev {VERSION}" in render(Project("hello", "go"))["go.mod"]


def test_the_changelog_tells_of_this_version() -> None:
    assert re.search(rf"^## \[?({re.escape(NUMBER)}|Unreleased)", read("CHANGELOG.md"), re.MULTILINE)
