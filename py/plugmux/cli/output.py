"""How results are written on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

__all__ = ["write_json", "write_json_line", "write_line", "write_table"]


def write_json(value: object) -> None:
    """Write a value as JSON: indented on a terminal, else on one line."""
    print(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def write_json_line(value: object) -> None:
    """Write a value as one line of JSON, at once: what is still to come may take long."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def write_line(*words: str) -> None:
    """Write words at once: on a terminal apart by two blanks, else by tabs, for scripts."""
    print(("  " if sys.stdout.isatty() else "\t").join(words), flush=True)


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows: in columns under a head on a terminal, else as tab-separated lines, for scripts."""
    if not sys.stdout.isatty():
        sys.stdout.writelines("\t".join(row) + "\n" for row in rows)
        return
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
