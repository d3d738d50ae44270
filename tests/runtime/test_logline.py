"""Levels and fields in the JSON lines of other languages' loggers."""

import logging

import pytest

from plugmux.runtime.logs.parser import LogLine, parse_line


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
        (
            'time=2026-01-01T00:00:00.000Z level=WARN msg="low \\"disk\\"" disk=/ free=3 note=""',
            LogLine(
                logging.WARNING,
                'low "disk"',
                {"time": "2026-01-01T00:00:00.000Z", "disk": "/", "free": "3", "note": ""},
            ),
        ),
        ('level=INFO msg="go \\x00 quoted" n=1', LogLine(logging.INFO, "go \\x00 quoted", {"n": "1"})),
        ("level=INFO msg=one and more", LogLine(logging.INFO, "level=INFO msg=one and more")),
        ("level=INFO n=1", LogLine(logging.INFO, "level=INFO n=1")),
        ("the end", LogLine(logging.INFO, "the end")),
        (
            "2026-01-01T00:00:00.000Z [WARN]  kv.store: low: free=3",
            LogLine(logging.WARNING, "kv.store: low: free=3"),
        ),
        ("2026-01-01T00:00:00.000+0100 [TRACE] kv: x", LogLine(logging.DEBUG, "kv: x")),
        ("2026/01/01 00:00:00 ERROR no disk free=3", LogLine(logging.ERROR, "no disk free=3")),
        (
            r'2026/01/01 00:00:00 ERROR it has panicked panic="no \"luck\"" stack="main.f()\n\tmain.go:1"',
            LogLine(logging.ERROR, 'it has panicked panic="no \\"luck\\""\nmain.f()\n\tmain.go:1'),
        ),
        (
            r'2026/01/01 00:00:00 ERROR x stack="\x00" more=1',
            LogLine(logging.ERROR, r'x stack="\x00" more=1'),
        ),
        ("2026/01/01 00:00:00 INFO+1 x", LogLine(logging.INFO, "x")),
        ("2026/01/01 00:00:00 Go's log package", LogLine(logging.INFO, "2026/01/01 00:00:00 Go's log package")),
        ("100 files", LogLine(logging.INFO, "100 files")),
        ("ERROR:kv.store:no disk: none", LogLine(logging.ERROR, "no disk: none", {"logger": "kv.store"})),
        ("ERROR: no logger", LogLine(logging.INFO, "ERROR: no logger")),
        (
            '{"level":"info","ts":1700000000.5,"caller":"kv/store.go:7","msg":"zap","key":"a"}',
            LogLine(logging.INFO, "zap", {"ts": 1700000000.5, "caller": "kv/store.go:7", "key": "a"}),
        ),
        (
            '{"level":"warn","key":"a","time":"2026-01-01T00:00:00Z","message":"zerolog"}',
            LogLine(logging.WARNING, "zerolog", {"key": "a", "time": "2026-01-01T00:00:00Z"}),
        ),
        (
            '{"level":30,"time":1700000000000,"pid":7,"hostname":"h","msg":"pino"}',
            LogLine(logging.INFO, "pino", {"time": 1700000000000, "pid": 7, "hostname": "h"}),
        ),
        (
            '{"key": "a", "event": "structlog", "log_level": "error", "timestamp": "t"}',
            LogLine(logging.ERROR, "structlog", {"key": "a", "timestamp": "t"}),
        ),
        ('{"levelname":"WARNING","message":"python","name":"x"}', LogLine(logging.WARNING, "python", {"name": "x"})),
    ],
)
def test_a_line_is_understood(line: str, understood: LogLine) -> None:
    assert parse_line(line) == understood


def test_a_line_without_a_level_has_the_default() -> None:
    assert parse_line('{"msg":"x"}', logging.ERROR).level == logging.ERROR


@pytest.mark.parametrize("piece", ['a="', "a=b ", '\\"', "level=", "DEBUG:", "2026-01-01T"])
def test_no_line_takes_long(piece: str) -> None:
    for begin in ("level=INFO msg=x ", 'msg="', "2026-01-01T", "DEBUG:", "{"):
        parse_line((begin + piece * 8192)[:8192])
