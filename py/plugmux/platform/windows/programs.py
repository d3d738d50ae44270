"""Programs and command lines as people write them: what may be executed, where it is found, how words are divided."""

from __future__ import annotations

import ntpath
import os
import subprocess
from collections.abc import Sequence

from .native.search import EXECUTABLE, has_suffix, search, split_line

__all__ = [
    "can_be_executed",
    "find_on_path",
    "has_directory",
    "inherits_streams",
    "join_words",
    "split_words",
    "variable_name",
]

WITHOUT_HANDLES = frozenset(("node", "deno", "bun"))
"""Interpreters that take no inherited handles: their programs are given a named pipe to connect to."""


def has_directory(command: str) -> bool:
    """Whether a program is named by a path, and not looked for on PATH."""
    return "\\" in command or "/" in command or bool(ntpath.splitdrive(command)[0])


def find_on_path(command: str, path: str) -> str | None:
    """The first program of a name in the folders of a PATH, with a suffix of `%PATHEXT%` where it has none."""
    return search(command, path, os.environ.get("PATHEXT", ""), os.path.isfile)


def can_be_executed(file: str | os.PathLike[str]) -> bool:
    """Whether the system runs a file, which its suffix tells."""
    return has_suffix(os.fspath(file), EXECUTABLE)


def inherits_streams(program: str) -> bool:
    """Whether a program can use the streams that it inherits."""
    return ntpath.splitext(ntpath.basename(program))[0].lower() not in WITHOUT_HANDLES


def split_words(line: str) -> list[str]:
    """The words of a command line, as programs divide it; nothing is expanded.

    Raises:
        ValueError: its quotes are not closed.
    """
    return split_line(line)


def join_words(words: Sequence[str]) -> str:
    """A command line for people, which `split_words` divides into the same words."""
    return subprocess.list2cmdline(words)


def variable_name(name: str) -> str:
    """The name of an environment variable, in the one form in which the environment has it."""
    return name.upper()
