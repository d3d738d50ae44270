"""A project on disk: its files, and what the language's own tools make of them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError, PlugmuxError
from .project import ALL, LANGUAGES, Project, installed
from .render import render

__all__ = ["create"]

TOOL_TIME = 600.0
"""Seconds that a tool may take: the first time it fetches and compiles what it needs."""


def create(project: Project, directory: Path) -> list[str]:
    """Write a project, and generate its stubs.

    Args:
        project: what to write.
        directory: where to; it is made, and may be there if it is empty.

    Returns:
        The paths of all files, in the directory.

    Raises:
        ConfigError: the directory is not empty.
        PlugmuxError: a tool is missing, and nothing is written; or one has failed, and the files stay.
        OSError: a file cannot be written.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(f"{directory} is there already, and not empty: choose another with --dir")
    if project.language in ("python", ALL) and project.kind == "service" and not installed("grpcio-tools"):
        raise PlugmuxError("the stubs of a Python project need grpcio-tools: pip install 'plugmux[new]'")
    texts = render(project)
    plugins = [replace(project, language=each) for each in LANGUAGES] if project.language == ALL else []
    commands = [_found(command) for command in _finishing(project)]
    for plugin in plugins:  # A tool that is missing is told before anything is written.
        for command in _finishing(plugin):
            _found(command)
    for path, text in texts.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        if text.startswith("#!"):
            file.chmod(0o755)
    for command in commands:
        _run(command, directory)
    for plugin in plugins:
        create(plugin, directory / "plugins" / plugin.language)
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def _finishing(project: Project) -> list[list[str]]:
    """What is to be run in the project, in order: it needs these programs."""
    generate = [["buf", "generate"]] if project.kind == "service" and project.language != ALL else []
    return generate + ([["go", "mod", "tidy"]] if project.language == "go" else [])


def _path() -> str:
    """Where tools are looked for: beside this Python first, where `pip install 'plugmux[new]'` has put them."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _found(command: list[str]) -> list[str]:
    program = shutil.which(command[0], path=_path())
    if program is None:
        how = "install Go" if command[0] == "go" else "pip install 'plugmux[new]', or install buf otherwise"
        raise PlugmuxError(f"there is no program {command[0]!r}, which a new project needs: {how}")
    return [program, *command[1:]]


def _run(command: list[str], directory: Path) -> None:
    shown = shlex.join([Path(command[0]).name, *command[1:]])
    left = f"the files are in {directory}; when that is mended, run it there"
    environment = {**os.environ, "PATH": _path()}
    try:
        ran = subprocess.run(  # noqa: S603 -- our own words
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=TOOL_TIME, check=False
        )
    except subprocess.TimeoutExpired:
        raise PlugmuxError(f"`{shown}` did not end within {TOOL_TIME:g} s; {left}") from None
    if ran.returncode:
        raise PlugmuxError(f"`{shown}` failed with status {ran.returncode}; {left}:\n{ran.stderr or ran.stdout}")
