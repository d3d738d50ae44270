"""The tutorials, typed along: each step after the one before it, in an empty folder."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.pages import Example, all_examples, examples
from support.tools import ROOT

ACTIVATED = {
    **os.environ,
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "PYTHONPATH": "",
}


def steps(page: str) -> list[Example]:
    found = [
        (ROOT / page).read_text().index(f"```{example.language}\n{example.text}")
        for example in all_examples()
        if example.page == page
    ]
    those = [example for example in all_examples() if example.page == page]
    ordered = [example for _, example in sorted(zip(found, those, strict=True), key=lambda pair: pair[0])]
    return [example for example in ordered if not example.reason and example.language in ("sh", "console")]


def follow(page: str, folder: Path) -> None:
    """Type what a page says; what stands behind a `$` prints what stands below it."""
    for example in steps(page):
        if example.language == "sh":
            ran = subprocess.run(
                ["bash", "-euc", example.text], cwd=folder, env=ACTIVATED, capture_output=True, text=True
            )
            assert ran.returncode == 0, f"{example.text}{ran.stdout}{ran.stderr}"
            continue
        for command, printed in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", example.text, re.MULTILINE):
            ran = subprocess.run(["bash", "-euc", command], cwd=folder, env=ACTIVATED, capture_output=True, text=True)
            assert (ran.returncode, ran.stdout.rstrip("\n")) == (0, printed.rstrip("\n")), f"{command}: {ran.stderr}"


def test_the_tutorial_in_python_and_the_one_about_a_web_application_behind_it(tmp_path: Path) -> None:
    follow("docs/tutorial-python.md", tmp_path)
    (tmp_path / "app.py").write_text("\n".join(examples("docs/tutorial-fastapi.md")))
    ran = subprocess.run([sys.executable, "app.py"], cwd=tmp_path, env=ACTIVATED, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


async def test_the_tutorial_about_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider, asking = examples("docs/tutorial-secrets.md")
    (tmp_path / "files_plugin.py").write_text(provider)
    await asyncio.to_thread(follow, "docs/tutorial-secrets.md", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ACTIVATED["PATH"])
    code = compile(asking, "tutorial-secrets", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, {})
