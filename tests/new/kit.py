"""Run by `make kit`: from an empty folder to a plugin that is packaged and installed elsewhere, in every language.

Each project is made, tested, developed on, packaged and installed by the commands that its README names.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from plugmux.cli import main
from support.tools import ROOT, tool

pytestmark = pytest.mark.timeout(600)

GREET = "hello.v1.HelloService/Greet"
PLUGMUX = str(Path(sys.executable).parent / "plugmux")

Install: TypeAlias = Callable[[Path, Path], str]
"""Installs what `make package` has made, from a project into an empty folder; gives the program."""


def run(folder: Path, *command: str) -> str:
    ran = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def environment(**more: str) -> dict[str, str]:
    """Without what this repository's own targets set for make."""
    of_make = ("MAKE", "PYTHONPATH", "GOBIN", "GOFLAGS", "PIP_NO_COMPILE", "PLUGMUX_")
    return {name: value for name, value in os.environ.items() if not name.startswith(of_make)} | more


def make(folder: Path, target: str) -> str:
    return run(folder, tool("make"), "--silent", target)


def new(folder: Path, *arguments: str) -> Path:
    assert main(["new", "hello", "--dir", str(folder), *arguments]) == 0
    return folder


def greet(*target: str) -> str:
    answer = run(Path("/"), PLUGMUX, "call", GREET, '{"name": "world"}', *target)
    return str(json.loads(answer)["text"])


@contextmanager
def developing(project: Path, address: str) -> Iterator[Callable[[str], None]]:
    """`make dev`; gives what waits until it has said something."""
    command = [tool("make"), "--silent", "dev"]
    variables = environment(PLUGMUX_SOCKET=address)
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


def generate_anew(project: Path) -> None:
    """See that `make generate` gives the stubs that came with the project."""
    folder = project / "gen" if (project / "gen").is_dir() else project / "src/hello/v1"
    stubs = {path: path.read_text() for path in folder.rglob("hello*") if path.is_file()}
    assert stubs
    for path in stubs:
        path.unlink()
    make(project, "generate")
    assert {path: path.read_text() for path in stubs} == stubs


def install_wheel(project: Path, elsewhere: Path) -> str:
    (wheel,) = (project / "dist").glob("hello-*.whl")
    run(elsewhere, sys.executable, "-m", "venv", ".venv")
    run(elsewhere, ".venv/bin/python", "-m", "pip", "install", "--quiet", str(ROOT), str(wheel))
    found = "from importlib.metadata import entry_points as e; print(*(p.load() for p in e(group='plugmux.plugins')))"
    assert "Plugin object" in run(elsewhere, ".venv/bin/python", "-c", found)
    return str(elsewhere / ".venv/bin/hello")


def copy_program(project: Path, elsewhere: Path) -> str:
    return str(shutil.copy(project / "bin/hello", elsewhere))


def install_package(project: Path, elsewhere: Path) -> str:
    (package,) = project.glob("hello-*.tgz")
    run(elsewhere, tool("npm"), "install", "--silent", "--install-links", "--no-audit", "--no-fund", str(package))
    return str(elsewhere / "node_modules/.bin/hello")


@pytest.mark.parametrize(
    ("language", "source", "build", "install"),
    [
        ("python", "src/hello/plugin.py", None, install_wheel),
        ("go", "main.go", "build", copy_program),
        ("ts", "src/routes.ts", "build", install_package),
    ],
)
def test_from_an_empty_folder_to_a_plugin_that_is_installed_elsewhere(
    tmp_path: Path, language: str, source: str, build: str | None, install: Install
) -> None:
    project, elsewhere, address = new(tmp_path / "hello", f"--lang={language}"), tmp_path / "else", f"unix:{tmp_path}/s"
    elsewhere.mkdir()
    make(project, "test")
    make(project, "check")
    generate_anew(project)
    with developing(project, address) as until:
        until("listening on ")
        assert greet("--connect", address) == "Hello, world!"
        (project / source).write_text((project / source).read_text().replace("Hello, ", "Goodbye, "))
        if build is not None:
            make(project, build)
        until("replaced hello by ")
        assert greet("--connect", address) == "Goodbye, world!"
    make(project, "package")
    program = install(project, elsewhere)
    shutil.rmtree(project)
    assert greet("--plugin", program) == "Goodbye, world!"


@pytest.mark.parametrize(("language", "kind"), [("go", "secrets"), ("go", "app"), ("ts", "secrets")])
def test_every_other_kind_passes_its_own_tests(tmp_path: Path, language: str, kind: str) -> None:
    make(new(tmp_path / "hello", f"--lang={language}", f"--kind={kind}"), "test")


def test_the_wheel_has_every_template(tmp_path: Path) -> None:
    run(tmp_path, sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", ".", str(ROOT))
    (wheel,) = tmp_path.glob("plugmux-*.whl")
    shutil.unpack_archive(wheel, tmp_path / "wheel", "zip")
    folder = "plugmux/new/templates"
    there = {str(path.relative_to(ROOT / "py")) for path in (ROOT / "py" / folder).rglob("*") if path.is_file()}
    assert there == {
        str(path.relative_to(tmp_path / "wheel")) for path in (tmp_path / "wheel" / folder).rglob("*") if path.is_file()
    }


def test_a_host_is_tested_with_its_plugin_in_every_language(tmp_path: Path) -> None:
    project = new(tmp_path / "hello", "--lang=all")
    make(project, "test")
    assert make(project, "demo").splitlines()[-3:] == [f"{name}: Hello, world!" for name in ("go", "python", "ts")]
