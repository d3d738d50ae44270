"""Programs and command lines as people write them: what may be executed, where it is found, how words are divided."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence

__all__ = [
    "can_be_executed",
    "find_on_path",
    "has_directory",
    "inherits_streams",
    "join_words",
    "split_words",
    "variable_name",
]


def has_directory(command: str) -> bool:
    """Whether a program is named by a path, and not looked for on PATH."""
    return os.sep in command


def find_on_path(command: str, path: str) -> str | None:
    """The first program of a name in the folders of a PATH."""
    return shutil.which(command, path=path)


def can_be_executed(file: str | os.PathLike[str]) -> bool:
    """Whether this user may execute a file."""
    return os.access(file, os.X_OK)


def inherits_streams(program: str) -> bool:
    """Whether a program can use the streams that it inherits: every one can."""
    return True


def split_words(line: str) -> list[str]:
    """The words of a command line, as a shell divides it; nothing is expanded.

    Raises:
        ValueError: its quotes are not closed.
    """
    return shlex.split(line)


def join_words(words: Sequence[str]) -> str:
    """A command line for people, which `split_words` divides into the same words."""
    return shlex.join(words)


def variable_name(name: str) -> str:
    """The name of an environment variable, in the one form in which the environment has it."""
    return name
