"""Run by `make kit`: from an empty folder to a plugin that is packaged and installed elsewhere, in every language.

Each project is made, tested, developed on, packaged and installed by the commands that its README names, outside the
checkout and with what a release publishes. What `make publish-check` does is the first half of it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from plugmux.cli import main
from support.tools import ROOT, tool

sys.path.insert(0, str(ROOT / "tests/publish"))

from publish_check import OF_THE_CHECKOUT, check_project, check_sdist, greet, run

pytestmark = pytest.mark.timeout(1800)  # on a machine with much else to do

Environment: TypeAlias = Mapping[str, str]
Install: TypeAlias = Callable[[Path, Path, Environment], str]
"""Installs what `make package` has made, from a project into an empty folder; gives the program."""


@pytest.fixture(scope="session")
def release() -> Environment:
    """The variables of a shell that finds the release; `make kit` makes it."""
    return dict(json.loads(os.environ["PLUGMUX_KIT_ENVIRONMENT"]))


def make(folder: Path, environment: Environment, target: str) -> str:
    return run(folder, environment, "make", "--silent", target)


@contextmanager
def developing(project: Path, environment: Environment, address: str) -> Iterator[Callable[[str], None]]:
    """`make dev`; gives what waits until it has said something."""
    command = [tool("make"), "--silent", "dev"]
    variables = {**environment, "PLUGMUX_SOCKET": address}
    with subprocess.Popen(
        command, cwd=project, env=variables, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")

        def until(words: str) -> None:
            lines: list[str] = []
            for line in said:
                lines.append(line)
                if line.startswith(words):
                    return
            raise AssertionError(f"make dev ended before it said {words!r}: {''.join(lines)}")

        try:
            yield until
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.stderr.read()


def generate_anew(project: Path, environment: Environment) -> None:
    """See that `make generate` gives the stubs that came with the project."""
    folder = project / "gen" if (project / "gen").is_dir() else project / "src/hello/v1"
    stubs = {path: path.read_text() for path in folder.rglob("hello*") if path.is_file() and path.suffix != ".pyc"}
    assert stubs
    for path in stubs:
        path.unlink()
    make(project, environment, "generate")
    assert {path: path.read_text() for path in stubs} == stubs


def install_wheel(project: Path, elsewhere: Path, environment: Environment) -> str:
    (package,) = (project / "dist").glob("hello-*.whl")
    run(elsewhere, environment, sys.executable, "-m", "venv", ".venv")
    run(elsewhere, environment, ".venv/bin/python", "-m", "pip", "install", "--quiet", str(package))
    found = "from importlib.metadata import entry_points as e; print(*(p.load() for p in e(group='plugmux.plugins')))"
    assert "Plugin object" in run(elsewhere, environment, ".venv/bin/python", "-c", found)
    return str(elsewhere / ".venv/bin/hello")


def copy_program(project: Path, elsewhere: Path, environment: Environment) -> str:
    return str(shutil.copy(project / "bin/hello", elsewhere))


def install_package(project: Path, elsewhere: Path, environment: Environment) -> str:
    (package,) = project.glob("hello-*.tgz")
    run(elsewhere, environment, "npm", "install", "--silent", "--no-audit", "--no-fund", str(package))
    return str(elsewhere / "node_modules/.bin/hello")


@pytest.mark.parametrize(
    ("language", "source", "build", "install"),
    [
        ("ts", "src/routes.ts", "build", install_package),
        ("python", "src/hello/plugin.py", None, install_wheel),
        ("go", "main.go", "build", copy_program),
    ],
)
def test_from_an_empty_folder_to_a_plugin_that_is_installed_elsewhere(
    release: Environment, tmp_path: Path, language: str, source: str, build: str | None, install: Install
) -> None:
    elsewhere, address = tmp_path / "else", f"unix:{tmp_path}/s"
    elsewhere.mkdir()
    project = check_project(tmp_path, release, language)
    generate_anew(project, release)
    with developing(project, release, address) as until:
        until("listening on ")
        assert greet(elsewhere, release, "--connect", address) == "Hello, world!"
        (project / source).write_text((project / source).read_text().replace("Hello, ", "Goodbye, "))
        if build is not None:
            make(project, release, build)
        until("replaced hello by ")
        assert greet(elsewhere, release, "--connect", address) == "Goodbye, world!"
    make(project, release, "package")
    program = install(project, elsewhere, release)
    shutil.rmtree(project)
    assert greet(elsewhere, release, "--plugin", program) == "Goodbye, world!"


def test_a_host_is_tested_with_its_plugin_in_every_language(release: Environment, tmp_path: Path) -> None:
    run(tmp_path, release, "plugmux", "new", "hello", "--lang=all")
    make(tmp_path / "hello", release, "test")
    said = make(tmp_path / "hello", release, "demo")
    assert said.splitlines()[-3:] == [f"{name}: Hello, world!" for name in ("go", "python", "ts")]


@pytest.mark.parametrize(("language", "kind"), [("ts", "secrets"), ("go", "secrets"), ("go", "app")])
def test_every_other_kind_passes_its_own_tests_with_the_checkout(tmp_path: Path, language: str, kind: str) -> None:
    assert main(["new", "hello", "--dir", str(tmp_path / "p"), f"--lang={language}", f"--kind={kind}"]) == 0
    own = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_CHECKOUT)}
    make(tmp_path / "p", own, "test")


def test_the_source_distribution_can_be_installed(release: Environment, tmp_path: Path) -> None:
    check_sdist(tmp_path, release)


def test_the_wheel_has_every_template(tmp_path: Path) -> None:
    (wheel,) = (ROOT / "build/dist").glob("plugmux-*.whl")
    shutil.unpack_archive(wheel, tmp_path / "wheel", "zip")
    folder = "plugmux/new/templates"
    there = {str(path.relative_to(ROOT / "py")) for path in (ROOT / "py" / folder).rglob("*") if path.is_file()}
    assert there == {
        str(path.relative_to(tmp_path / "wheel")) for path in (tmp_path / "wheel" / folder).rglob("*") if path.is_file()
    }
