"""The level and the fields of a line that a plugin's logger wrote.

JSON lines: every logger names the same things its own way; the tables below hold the names. They cover hclog (`@level`,
`@message`), slog and zerolog (`level`, `msg` or `message`), zap (`level`, `msg`, `ts`), pino (`level` as a number),
structlog (`level`, `event`) and Python's JSON formatters (`levelname`, `message`).

Plain lines: those of slog's text handler (logfmt), whole; of hclog, and of Go's `slog` and Python's `logging` as they
are without any setting up, the level and the text, of which a last `stack="..."` is spread over its lines.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ...contract.nesting import parse_json

__all__ = ["LogLine", "parse_line"]

LEVEL_KEYS = ("level", "@level", "levelname", "severity", "lvl", "log_level")
MESSAGE_KEYS = ("msg", "message", "@message", "event")
LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "err": logging.ERROR,
    "dpanic": logging.CRITICAL,
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
    "critical": logging.CRITICAL,
}
PINO_STEP = 10
"""pino counts trace 10, debug 20, info 30, warn 40, error 50, fatal 60: one step above Python's numbers."""

_HCLOG = re.compile(r"\d{4}-\d\d-\d\dT\S{1,24} \[(TRACE|DEBUG|INFO|WARN|ERROR)\] +(.*)", re.DOTALL)
_GO = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ((?:DEBUG|INFO|WARN|ERROR)(?:[+-]\d{1,4})?) (.*)", re.DOTALL)
_PYTHON = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL):([^\s:]{1,200}):(.*)", re.DOTALL)
_STACK = re.compile(r' stack=("(?:[^"\\]|\\.)*")\Z')
_PAIR = re.compile(r'([^\s="]{1,200})=("(?:[^"\\]|\\.)*"|[^\s"]*)(?: |$)')


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of output, understood.

    Args:
        level: a level of `logging`.
        message: the text.
        fields: what else the line says, without its level and message.
    """

    level: int
    message: str
    fields: dict[str, object] = field(default_factory=dict)


def parse_line(line: str, default: int = logging.INFO) -> LogLine:
    """Understand a line of output; one that no logger known here has written is its own message.

    Args:
        line: the line, without its end.
        default: the level of a line that names none.
    """
    read = _READERS.get(line[:1])
    return (read and read(line, default)) or LogLine(default, line)


def _read_json(line: str, default: int) -> LogLine | None:
    try:
        values = parse_json(line)
    except ValueError:
        return None
    return _from_values(values, default) if isinstance(values, dict) else None


def _read_logfmt(line: str, default: int) -> LogLine | None:
    """Read `time=... level=INFO msg="a b" key=value`; a line with anything else in it is none."""
    if not line.startswith(("time=", "level=", "msg=")):
        return None
    values: dict[str, object] = {}
    end = 0
    while end < len(line):
        pair = _PAIR.match(line, end)
        if pair is None:
            return None
        values[pair[1]] = _unquoted(pair[2])
        end = pair.end()
    return _from_values(values, default)


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:  # Go's quoting has escapes that JSON's has not.
        return value[1:-1]


def _from_values(values: dict[str, object], default: int) -> LogLine | None:
    message_key = next((key for key in MESSAGE_KEYS if isinstance(values.get(key), str)), None)
    if message_key is None:
        return None
    level_key = next((key for key in LEVEL_KEYS if key in values), None)
    level = _level(values[level_key], default) if level_key else default
    fields = {key: value for key, value in values.items() if key not in (message_key, level_key)}
    return LogLine(level, str(values[message_key]), fields)


def _read_dated(line: str, default: int) -> LogLine | None:
    found = _HCLOG.fullmatch(line) or _GO.fullmatch(line)
    return LogLine(_level(found[1], default), _with_lines_of_stack(found[2])) if found else None


def _with_lines_of_stack(message: str) -> str:
    """A text with the stack at its end as the lines that it has, such as the Go SDK logs of a panic."""
    found = _STACK.search(message) if message.endswith('"') else None
    return f"{message[: found.start()]}\n{_unquoted(found[1])}" if found else message


def _read_python(line: str, default: int) -> LogLine | None:
    found = _PYTHON.fullmatch(line)
    return LogLine(_level(found[1], default), found[3], {"logger": found[2]}) if found else None


_READERS: dict[str, Callable[[str, int], LogLine | None]] = {
    "{": _read_json,
    **dict.fromkeys("tlm", _read_logfmt),
    **dict.fromkeys("0123456789", _read_dated),
    **dict.fromkeys("DIWEC", _read_python),
}
"""What to try, by a line's first character: most lines have no known form, and cost nothing."""


def _level(value: object, default: int) -> int:
    if isinstance(value, str):
        # slog writes levels between its own as "INFO+2".
        return LEVELS.get(value.lower().partition("+")[0].partition("-")[0], default)
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(value - PINO_STEP, logging.DEBUG), logging.CRITICAL)
    return default
