"""The project of docs/tox.md: what the page shows of it, its environments, and its test against a plugin."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

from support.pages import examples
from support.pytests import FEW_PLUGINS
from support.tools import ROOT

PROJECT = ROOT / "examples" / "tox"


def run(*command: str) -> str:
    environ = {**os.environ, **FEW_PLUGINS}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=PROJECT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_shows_the_project_as_it_is() -> None:
    (recipes,) = examples("docs/tox.md", "toml")
    (ini,) = examples("docs/tox.md", "ini")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert tomllib.loads(recipes)["tool"]["plugmux"] == project["tool"]["plugmux"]
    assert ini == (PROJECT / "tox.ini").read_text()


def test_its_test_runs_for_a_plugin_that_is_chosen() -> None:
    said = run("pytest", "-q", "-p", "no:cacheprovider", "--plugmux-plugins", "python,go")
    assert "2 passed, 1 deselected" in said
