"""Levels and fields in the JSON lines of other languages' loggers."""

import logging

import pytest

from plugmux.runtime.logline import LogLine, parse_line


@pytest.mark.parametrize(
    ("line", "understood"),
    [
        ("plain text", LogLine(logging.INFO, "plain text")),
        ("", LogLine(logging.INFO, "")),
        ("{not json", LogLine(logging.INFO, "{not json")),
        ('{"a": 1}', LogLine(logging.INFO, '{"a": 1}')),
        ("{" * 100_000, LogLine(logging.INFO, "{" * 100_000)),
        (
            '{"@level":"warn","@message":"disk","@timestamp":"2026-01-01T00:00:00Z","free":3}',
            LogLine(logging.WARNING, "disk", {"@timestamp": "2026-01-01T00:00:00Z", "free": 3}),
        ),
        ('{"time":"t","level":"ERROR","msg":"no"}', LogLine(logging.ERROR, "no", {"time": "t"})),
        ('{"level":"INFO+2","msg":"slog"}', LogLine(logging.INFO, "slog")),
        ('{"level":"DEBUG-4","msg":"slog"}', LogLine(logging.DEBUG, "slog")),
        ('{"level":"dpanic","ts":1.5,"msg":"zap"}', LogLine(logging.CRITICAL, "zap", {"ts": 1.5})),
        ('{"level":"trace","message":"zerolog"}', LogLine(logging.DEBUG, "zerolog")),
        ('{"level":40,"pid":7,"msg":"pino"}', LogLine(logging.WARNING, "pino", {"pid": 7})),
        ('{"level":60,"msg":"pino"}', LogLine(logging.CRITICAL, "pino")),
        ('{"level":10,"msg":"pino"}', LogLine(logging.DEBUG, "pino")),
        ('{"level":true,"msg":"odd"}', LogLine(logging.INFO, "odd")),
        ('{"level":"loud","msg":"odd"}', LogLine(logging.INFO, "odd")),
        ('{"event":"structlog","level":"critical"}', LogLine(logging.CRITICAL, "structlog")),
        ('{"levelname":"WARNING","message":"python","name":"x"}', LogLine(logging.WARNING, "python", {"name": "x"})),
    ],
)
def test_a_line_is_understood(line: str, understood: LogLine) -> None:
    assert parse_line(line) == understood


def test_a_line_without_a_level_has_the_default() -> None:
    assert parse_line('{"msg":"x"}', logging.ERROR).level == logging.ERROR
