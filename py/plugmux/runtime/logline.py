"""The level and the fields of a line that a plugin's logger wrote as JSON.

Every logger names the same three things its own way; the tables below hold the names. They cover hclog (`@level`,
`@message`), slog and zerolog (`level`, `msg` or `message`), zap (`level`, `msg`, `ts`), pino (`level` as a number),
structlog (`level`, `event`) and Python's JSON formatters (`levelname`, `message`).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field

__all__ = ["LogLine", "parse_line"]

LEVEL_KEYS = ("level", "@level", "levelname", "severity", "lvl")
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
    """Understand a line of output; one that is no JSON log line is its own message.

    Args:
        line: the line, without its end.
        default: the level of a line that names none.
    """
    if not line.startswith("{"):
        return LogLine(default, line)
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return LogLine(default, line)
    message_key = next((key for key in MESSAGE_KEYS if isinstance(values.get(key), str)), None)
    if message_key is None:
        return LogLine(default, line)
    level_key = next((key for key in LEVEL_KEYS if key in values), None)
    level = _level(values[level_key], default) if level_key else default
    fields = {key: value for key, value in values.items() if key not in (message_key, level_key)}
    return LogLine(level, values[message_key], fields)


def _level(value: object, default: int) -> int:
    if isinstance(value, str):
        # slog writes levels between its own as "INFO+2".
        return LEVELS.get(value.lower().partition("+")[0].partition("-")[0], default)
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(value - PINO_STEP, logging.DEBUG), logging.CRITICAL)
    return default
