"""The command line of a program: the one text that Windows passes, which each program divides for itself.

Programs divide it by the rules of CommandLineToArgvW, which `subprocess.list2cmdline` keeps. Batch files have no such
rules: their interpreter expands variables and runs what stands behind `&`, whatever the quotes. Arguments that it could
misread are refused. This module asks nothing of the system, so that its tests run everywhere.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

__all__ = ["BATCH_FILES", "command_line", "is_batch_file"]

BATCH_FILES = (".bat", ".cmd")
UNSAFE_IN_BATCH_FILES = frozenset('"%!^&|<>()\r\n\0')
MAX_COMMAND_LINE = 32_767
"""Characters that a command line may have, with the zero at its end."""


def is_batch_file(path: str) -> bool:
    """Whether the interpreter of the command prompt runs a file, whatever the case and what follows its name."""
    return path.rstrip(". ").lower().endswith(BATCH_FILES)


def command_line(path: str, arguments: Sequence[str], shell: str) -> str:
    """The command line of a program.

    Args:
        path: its file.
        arguments: what follows its name.
        shell: the interpreter of batch files (`%COMSPEC%`).

    Raises:
        ValueError: an argument cannot be passed to it; the message says why.
    """
    words = [path, *arguments]
    if any("\0" in word for word in words):
        raise ValueError("an argument has a zero character")
    if is_batch_file(path):
        line = f'{subprocess.list2cmdline([shell])} /d /v:off /s /c "{_batch_line(words)}"'
    else:
        line = subprocess.list2cmdline(words)
    if len(line.encode("utf-16-le", "surrogatepass")) // 2 >= MAX_COMMAND_LINE:
        raise ValueError(f"its command line has over {MAX_COMMAND_LINE - 1} characters")
    return line


def _batch_line(words: Sequence[str]) -> str:
    for word in words:
        unsafe = sorted(UNSAFE_IN_BATCH_FILES & set(word))
        if unsafe or word.endswith("\\"):
            said = " ".join(map(repr, unsafe)) if unsafe else "a backslash at its end"
            raise ValueError(
                f"the argument {word!r} of a batch file has {said}, which the command prompt would interpret; "
                "launch a program in its place"
            )
    return " ".join(f'"{word}"' for word in words)
