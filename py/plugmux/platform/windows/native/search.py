"""How Windows finds a program by its name. This module asks nothing of the system, so that its tests run everywhere."""

from __future__ import annotations

import ntpath
from collections.abc import Callable, Iterator, Sequence

__all__ = ["EXECUTABLE", "candidates", "has_suffix", "search", "split_line"]

EXECUTABLE = (".com", ".exe", ".bat", ".cmd")
"""The suffixes of files that the system itself runs."""


def has_suffix(file: str, suffixes: Sequence[str]) -> bool:
    """Whether a file's name ends with one of some suffixes, in whatever case."""
    return ntpath.splitext(file)[1].lower() in suffixes


def candidates(command: str, extensions: str) -> Iterator[str]:
    """The file names that a command may stand for, the best first.

    Args:
        command: as a person writes it; with a suffix of a program it is taken as it is.
        extensions: `%PATHEXT%`; of its suffixes those count that the system itself runs.
    """
    if has_suffix(command, EXECUTABLE):
        yield command
        return
    wanted = [word.lower() for word in extensions.split(";") if word.lower() in EXECUTABLE]
    for suffix in wanted or EXECUTABLE:
        yield command + suffix


def search(command: str, path: str, extensions: str, is_file: Callable[[str], bool]) -> str | None:
    """The first program of a name in the folders of a PATH; the current directory is not one by itself.

    Args:
        command: the name.
        path: folders with semicolons between them, which may stand in quotes.
        extensions: as above.
        is_file: tells whether there is a file.
    """
    for folder in path.split(";"):
        bare = folder.strip().strip('"')
        for name in candidates(command, extensions) if bare else ():
            if is_file(file := ntpath.join(bare, name)):
                return file
    return None


def split_line(line: str) -> list[str]:
    """The words of a command line by the rules of CommandLineToArgvW: a backslash is one, except before a quote.

    Raises:
        ValueError: its quotes are not closed.
    """
    words: list[str] = []
    word, begun, quoted, slashes = "", False, False, 0
    for character in line:
        if character == "\\":
            slashes += 1
            begun = True
            continue
        if character == '"':
            word += "\\" * (slashes // 2)
            if slashes % 2:
                word += character
            else:
                quoted = not quoted
            begun = True
        else:
            word += "\\" * slashes
            if character in " \t\r\n" and not quoted:
                if begun:
                    words.append(word)
                word, begun = "", False
            else:
                word += character
                begun = True
        slashes = 0
    if quoted:
        raise ValueError("No closing quotation")
    word += "\\" * slashes
    return [*words, word] if begun else words
