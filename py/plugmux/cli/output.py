"""Where everything that the command line prints goes out: nothing that came from elsewhere steers the terminal.

Names, messages, errors and fields come from plugins and runtimes. Whatever of them would move the cursor, reorder the
text or cannot be written at all is printed escaped; JSON stays JSON. No other module of the command line prints.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from ..contract.printable import ESCAPED, STEERING, printable

__all__ = [
    "printable",
    "shows_status",
    "terminal_size",
    "write_error",
    "write_json",
    "write_json_line",
    "write_line",
    "write_screen",
    "write_status",
    "write_table",
    "write_text",
    "write_values",
]

SIZE = 80, 24
"""Columns and lines of a terminal that does not tell them."""

CLEAR_LINE = "\r\x1b[K"

_IN_WORD = ESCAPED | {ord("\t"): "\\t", ord("\n"): "\\n"}
_IN_JSON = {number: f"\\u{number:04x}" for number in STEERING if number >= 0x7F}
"""What `json.dumps` leaves as it is; within a string, the only place where it can stand, this is JSON's own escape."""


def write_text(text: str) -> None:
    """Write a text of several lines on stdout, at once: a program that goes on may have a reader who waits for it."""
    _write(printable(text) + "\n", sys.stdout)
    sys.stdout.flush()


def write_error(text: str) -> None:
    """Write a text of several lines on stderr, at once."""
    clear = CLEAR_LINE if shows_status() else ""  # A line of `write_status` may stand there.
    _write(clear + printable(text) + "\n", sys.stderr)
    sys.stderr.flush()


def write_json(value: object) -> None:
    """Write a value as JSON: indented on a terminal, else on one line."""
    _write(_json(value, 2 if sys.stdout.isatty() else None) + "\n", sys.stdout)


def write_json_line(value: object, *, compact: bool = False) -> None:
    """Write a value as one line of JSON, at once: what is still to come may take long."""
    _write(_json(value, separators=(",", ":") if compact else None) + "\n", sys.stdout)
    sys.stdout.flush()


def write_line(*words: str) -> None:
    """Write words at once: on a terminal apart by two blanks, else by tabs, for scripts.

    A word of several lines is one line for scripts, and indented on a terminal, where no line of it can pass for
    another's.
    """
    if sys.stdout.isatty():
        line = "  ".join(printable(word).replace("\n", "\n    ") for word in words)
    else:
        line = "\t".join(_word(word) for word in words)
    _write(line + "\n", sys.stdout)
    sys.stdout.flush()


def shows_status() -> bool:
    """Whether stderr is a terminal on which a line can be drawn again."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def write_status(text: str) -> None:
    """Draw the last line of the terminal that stderr is: what is being done now; an empty text takes it away."""
    if shows_status():
        _write(CLEAR_LINE + _fitted(_word(text)), sys.stderr)
        sys.stderr.flush()


def terminal_size(stream: TextIO) -> tuple[int, int]:
    """The columns and lines of the terminal that a stream is."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except OSError:
        return SIZE
    return columns or SIZE[0], lines or SIZE[1]


def write_screen(lines: Sequence[str], *, enter: bool = False, leave: bool = False) -> None:
    """Draw the whole terminal that stdout is, at once.

    Args:
        lines: what it is to show, from the top; each shorter than the terminal is wide.
        enter: first put away what it shows, and hide the cursor.
        leave: show what was put away again, in place of the lines.
    """
    if leave:
        text = "\x1b[?25h\x1b[?1049l"
    else:
        drawn = "\n".join(_word(line) + "\x1b[K" for line in lines)
        text = ("\x1b[?1049h\x1b[?25l" if enter else "") + "\x1b[H" + drawn + "\x1b[J"
    _write(text, sys.stdout)
    sys.stdout.flush()


def _fitted(line: str) -> str:
    """What of a line leaves the last column of the terminal free, so that it does not wrap."""
    columns, _ = terminal_size(sys.stderr)
    return line if len(line) < columns else line[: max(columns - 4, 0)] + "..."


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows: in columns under a head on a terminal, else as tab-separated lines, for scripts."""
    table = [[_word(word) for word in row] for row in rows]
    if not sys.stdout.isatty():
        _write("".join("\t".join(row) + "\n" for row in table), sys.stdout)
        return
    table.insert(0, list(head))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        _write("  ".join(map(str.ljust, row, widths)).rstrip() + "\n", sys.stdout)


def write_values(values: Sequence[tuple[str, bytes]]) -> None:
    """Write secrets: the value of one, or a line `ID<TAB>VALUE` for each; on a terminal without what would steer it."""
    if sys.stdout.isatty():
        lines = [(name, printable(value.decode("utf-8", "backslashreplace"))) for name, value in values]
        _write(f"{lines[0][1]}\n" if len(lines) == 1 else "".join(f"{n}\t{v}\n" for n, v in lines), sys.stdout)
    elif len(values) == 1:
        sys.stdout.buffer.write(values[0][1])
    else:
        sys.stdout.buffer.writelines(b"%s\t%s\n" % (name.encode(), value) for name, value in values)


def _word(text: str) -> str:
    return text if text.isprintable() else text.translate(_IN_WORD)


def _json(value: object, indent: int | None = None, separators: tuple[str, str] | None = None) -> str:
    ascii_only = not (sys.stdout.encoding or "utf").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=ascii_only, allow_nan=False, indent=indent, separators=separators)
    return text.translate(_IN_JSON)


def _write(text: str, stream: TextIO) -> None:
    """Write a text, with what the stream's encoding does not have escaped."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
