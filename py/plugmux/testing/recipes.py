"""How a project builds and runs its plugins, one in each language: `[tool.plugmux.plugins]` of its pyproject.toml."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import ConfigError, PlugmuxError
from ..runtime import Launch, RestartPolicy

__all__ = ["BuildError", "CompilerMissing", "Recipe", "RecipeError", "read_recipes"]

BUILD_TIME = 600.0
"""Seconds that a build may take."""
SHOWN = 4000
"""Characters of a failed build's output that are shown, from its end."""
KEYS = frozenset({"name", "build", "run", "missing"})


class RecipeError(ConfigError):
    """A table of `[tool.plugmux.plugins]` cannot be used; the message names the table and the key."""


class BuildError(PlugmuxError):
    """A plugin could not be built; the message has the end of the build's output."""


class CompilerMissing(BuildError):
    """The program that builds or runs a plugin is not installed."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one plugin is built and run.

    Args:
        key: what the table is called, as a rule the language.
        folder: the folder of pyproject.toml, where both commands run.
        run: the command that runs it.
        build: the command that builds it; empty where nothing is to be built.
        name: the plugin's name; by default that of its program.
        missing: what becomes of its tests where the program that builds or runs it is not installed.
    """

    key: str
    folder: Path
    run: Sequence[str]
    build: Sequence[str] = ()
    name: str = ""
    missing: Literal["fail", "skip"] = "fail"

    @classmethod
    def read(cls, key: str, table: object, folder: Path) -> Recipe:
        """A recipe from its table.

        Raises:
            RecipeError: the table cannot be used.
        """
        where = f"[tool.plugmux.plugins.{key}] of {folder / 'pyproject.toml'}"
        if not isinstance(table, Mapping):
            raise RecipeError(f"{where} is no table: give it `build` and `run`")
        if unknown := sorted(table.keys() - KEYS):
            raise RecipeError(f"{where} has {', '.join(unknown)}; it may have {', '.join(sorted(KEYS))}")
        missing, name = table.get("missing", "fail"), table.get("name", "")
        if missing not in ("fail", "skip"):
            raise RecipeError(f"`missing` in {where} is {missing!r}; it must be 'fail' or 'skip'")
        if not isinstance(name, str):
            raise RecipeError(f"`name` in {where} is {name!r}; it must be a text")
        run = _words(table.get("run"), f"`run` in {where}")
        if not run:
            raise RecipeError(f"{where} has no `run`: the command that runs the plugin")
        return cls(key, folder, run, _words(table.get("build"), f"`build` in {where}"), name, missing)

    def make(self) -> Launch:
        """Build the plugin.

        Returns:
            What runs it.

        Raises:
            CompilerMissing: a program that this needs is not installed.
            BuildError: the build failed, or took longer than 600 s.
        """
        if self.build:
            self._build()
        program = self._program(self.run[0])
        return Launch([program, *self.run[1:]], self.name, cwd=self.folder, restart=RestartPolicy(tries=0))

    def _build(self) -> None:
        command = [self._program(self.build[0]), *self.build[1:]]
        try:
            done = subprocess.run(  # noqa: S603 -- the project's own command
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=BUILD_TIME,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BuildError(f"the build of plugin {self.key!r} took longer than {BUILD_TIME:g} s") from None
        except OSError as error:
            raise BuildError(f"the build of plugin {self.key!r} could not be started: {error}") from None
        if done.returncode != 0:
            output = done.stdout.decode(errors="replace")[-SHOWN:].strip()
            raise BuildError(
                f"the build of plugin {self.key!r} ended with status {done.returncode}: "
                f"{shlex.join(self.build)}\n{output}"
            )

    def _program(self, word: str) -> str:
        """The path of a program; `python` is the interpreter of the tests.

        Raises:
            CompilerMissing: there is none.
        """
        if word in ("python", "python3"):
            return sys.executable
        if os.sep in word:
            path = self.folder / word
            if path.is_file():
                return str(path)
            raise BuildError(f"plugin {self.key!r} has no program {str(path)!r}, which its recipe runs: build it")
        found = shutil.which(word)
        if found is None:
            raise CompilerMissing(f"plugin {self.key!r} needs {word!r}, and there is none on PATH")
        return found


def read_recipes(folder: Path) -> dict[str, Recipe]:
    """The recipes of a project, by their keys, in the order of the file; none where there are none.

    Args:
        folder: the folder of its pyproject.toml.

    Raises:
        RecipeError: the file is not TOML, or a table cannot be used.
    """
    path = folder / "pyproject.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        tables: Any = tomllib.loads(text).get("tool", {}).get("plugmux", {}).get("plugins", {})
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from None
    if not isinstance(tables, Mapping):
        raise RecipeError(f"[tool.plugmux.plugins] of {path} is no table")
    return {key: Recipe.read(key, table, folder) for key, table in tables.items()}


def _words(value: object, what: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise RecipeError(f"{what} cannot be split into words: {error}") from None
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise RecipeError(f"{what} is {value!r}; it must be a text, or a list of texts")
