"""A project on disk: its files, and what the language's own tools make of them."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError, PlugmuxError
from ..platform import find_on_path, join_words
from .project import ALL, LANGUAGES, Project, installed_version
from .render import render

__all__ = ["create"]

TOOL_TIME = 600.0
"""Seconds that a tool may take: the first time it fetches and compiles what it needs."""


async def create(
    project: Project, directory: Path, tell: Callable[[str, int, int], None] = lambda what, done, total: None
) -> list[str]:
    """Write a project, and generate its stubs.

    Args:
        project: what to write.
        directory: where to; it is made, and may be there if it is empty.
        tell: is called before each of the tools that are run: what it is, how many have been run, and how many there
            are.

    Returns:
        The paths of all files, in the directory.

    Raises:
        ConfigError: the directory is not empty.
        PlugmuxError: a tool is missing, and nothing is written; or one has failed, and the files stay.
        OSError: a file cannot be written.
    """
    commands = _write(project, directory)
    for done, (command, folder) in enumerate(commands):
        tell(f"{_shown(command)} in {folder}", done, len(commands))
        await _run(command, folder)
    return _files(directory)


def _write(project: Project, directory: Path) -> list[tuple[list[str], Path]]:
    """Write a project's own files, and give the commands that are still to be run, with their folders.

    What cannot be rendered, and a tool that is missing, is told before anything is written.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(f"{directory} is there already, and not empty: choose another with --dir")
    if project.language in ("python", ALL) and project.kind == "service" and not installed_version("grpcio-tools"):
        raise PlugmuxError("the stubs of a Python project need grpcio-tools: pip install 'plugmux[new]'")
    projects = [(project, directory)]
    if project.language == ALL:
        projects += [(replace(project, language=each), directory / "plugins" / each) for each in LANGUAGES]
    files = [(folder / path, text) for each, folder in projects for path, text in render(each).items()]
    commands = [(_found(command), folder) for each, folder in projects for command in _finishing(each)]
    for file, text in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        if text.startswith("#!"):
            file.chmod(0o755)
    return commands


def _files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def _finishing(project: Project) -> list[list[str]]:
    """What is to be run in the project, in order: it needs these programs."""
    generate = [["buf", "generate"]] if project.kind == "service" and project.language != ALL else []
    return generate + ([["go", "mod", "tidy"]] if project.language == "go" else [])


def _path() -> str:
    """Where tools are looked for: beside this Python first, where `pip install 'plugmux[new]'` has put them."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _found(command: list[str]) -> list[str]:
    program = find_on_path(command[0], _path())
    if program is None:
        how = "install Go" if command[0] == "go" else "pip install 'plugmux[new]', or install buf otherwise"
        raise PlugmuxError(f"there is no program {command[0]!r}, which a new project needs: {how}")
    return [program, *command[1:]]


def _shown(command: list[str]) -> str:
    return join_words([Path(command[0]).stem, *command[1:]])


async def _run(command: list[str], directory: Path) -> None:
    left = f"the files are in {directory}; when that is mended, run it there"
    environment = {**os.environ, "PATH": _path()}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=directory, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(TOOL_TIME):
            output, errors = await process.communicate()
    except TimeoutError:
        raise PlugmuxError(f"`{_shown(command)}` did not end within {TOOL_TIME:g} s; {left}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = (errors or output).decode(errors="replace")
        raise PlugmuxError(f"`{_shown(command)}` failed with status {process.returncode}; {left}:\n{said}")
