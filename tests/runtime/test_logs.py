"""What plugins say: kept, followed, and bounded, whatever it is."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from pathlib import Path

import pytest
from plugmux_proto.plugmux.v1 import log_pb2 as pb
from plugmux_proto.plugmux.v1 import runtime_pb2
from plugmux_proto.plugmux.v1.log_connect import LogClient
from plugmux_proto.plugmux.v1.runtime_connect import RuntimeClient

from plugmux import PluginError, Runtime
from plugmux.connect import App, Code, RpcError
from plugmux.contract.registration import Registration
from plugmux.http import SocketClient
from plugmux.runtime import LogEntry, LogSource
from plugmux.runtime.logs.log import KEPT_CHARACTERS, KEPT_LINES, MAX_LOGS, LineLimit, LogBook, level_name
from plugmux.runtime.logs.service import PluginLogService
from plugmux.runtime.process.output import LINES_PER_TURN, MAX_LINE, LineReader, Tail
from support.app_transport import AppTransport
from support.programs import KV_PLUGIN, kv_program, script
from support.tools import local_address

TALKER = """
    import sys
    print("to stdout", flush=True)
    print("to stderr", file=sys.stderr, flush=True)
"""


def said(book: LogBook, *messages: str, name: str = "kv") -> None:
    for message in messages:
        book.of(name).write(LogSource.STDOUT, logging.INFO, message)


def messages(entries: list[LogEntry]) -> list[str]:
    return [entry.message for entry in entries]


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_the_last_lines_are_kept() -> None:
    book = LogBook()
    said(book, *(str(number) for number in range(KEPT_LINES + 5)))
    assert messages(book.kept("kv")) == [str(number) for number in range(5, KEPT_LINES + 5)]


def test_what_is_kept_is_bounded_in_characters() -> None:
    book = LogBook()
    said(book, *["x" * (KEPT_CHARACTERS // 4)] * 9)
    assert len(book.kept("kv")) == 4


def test_the_logs_of_all_plugins_are_in_the_order_of_time() -> None:
    book = LogBook()
    for time, name in ((3.0, "a"), (1.0, "b"), (2.0, "a")):
        book.of(name).write(LogSource.LOG, logging.INFO, str(time), when=time)
    assert messages(book.kept()) == ["1.0", "2.0", "3.0"]
    assert book.kept("nobody") == []


def test_plugins_without_end_do_not_fill_the_memory() -> None:
    book = LogBook()
    for number in range(MAX_LOGS + 10):
        said(book, "x", name=f"p{number}")
    assert "p9" not in book
    assert len(book.kept()) == MAX_LOGS


async def test_a_follower_misses_nothing_between_what_was_and_what_comes() -> None:
    book = LogBook()
    said(book, "before")
    said(book, "other", name="other")
    async with aclosing(book.follow("kv")) as entries:
        assert (await anext(entries)).message == "before"
        said(book, "after")
        said(book, "other", name="other")
        assert (await anext(entries)).message == "after"
        book.close()
        assert [entry async for entry in entries] == []
    assert [entry.message async for entry in book.follow("kv")] == ["before", "after"]


async def test_a_follower_that_lags_loses_the_oldest() -> None:
    book = LogBook()
    async with aclosing(book.follow()) as entries:
        said(book, "first")
        assert (await anext(entries)).message == "first"
        said(book, *(str(number) for number in range(3000)))
        assert (await anext(entries)).message == "2000"


@pytest.mark.parametrize(
    ("level", "word"), [(5, "debug"), (10, "debug"), (20, "info"), (25, "info"), (30, "warning"), (99, "critical")]
)
def test_every_level_has_a_word(level: int, word: str) -> None:
    assert level_name(level) == word


# -- lines of output --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"no end", ["no end"]),
        (b"windows\r\n", ["windows"]),
        (b"\n", [""]),
        (b"\xff\x00binary\x1b[31m\n", ["\\xff\\x00binary\\x1b[31m"]),
        ("ütf\tacht\n".encode(), ["ütf\tacht"]),
        (b"x" * (3 * MAX_LINE) + b"\nnext\n", ["x" * MAX_LINE + " [...]", "next"]),
        (b'{"level":"error","msg":"a\\u001b\\ud800\\nb"}\n', ["a\\x1b\\ud800\nb"]),
    ],
)
@pytest.mark.parametrize("step", [1, 100_000])
async def test_output_becomes_bounded_printable_lines(written: bytes, lines: list[str], step: int) -> None:
    book, tail = LogBook(), Tail()
    reader = LineReader(book.of("kv"), LogSource.STDERR, tail)
    for start in range(0, len(written), step):
        reader.data_received(written[start : start + step])
    reader.connection_lost(None)
    assert messages(book.kept()) == lines
    assert str(tail).isprintable() or "\n" in str(tail) or "\t" in str(tail)


class Pipe(asyncio.ReadTransport):
    """A pipe that tells whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def test_a_flood_of_lines_is_read_in_turns_and_all_but_so_many_are_counted() -> None:
    book, tail, pipe = LogBook(), Tail(), Pipe()
    reader = LineReader(book.of("kv"), LogSource.STDERR, tail, LineLimit(rate=1, burst=LINES_PER_TURN + 10))
    reader.connection_made(pipe)
    reader.data_received(b"\n" * 200_000 + b"last words\nno end")
    assert len(book.kept()) == LINES_PER_TURN
    assert not pipe.reading
    await asyncio.sleep(0)
    assert len(book.kept()) == LINES_PER_TURN + 10
    assert pipe.reading
    reader.connection_lost(None)
    assert reader.ended.done()
    assert str(tail).endswith("last words\nno end")
    (told,) = [entry.message for entry in book.kept() if entry.source is LogSource.RUNTIME]
    assert told == f"{200_001 - LINES_PER_TURN - 10} lines of its stderr were dropped: it prints over 1 a second"


async def test_long_lines_are_read_in_turns_too_and_none_is_lost_at_the_end() -> None:
    book, pipe = LogBook(), Pipe()
    reader = LineReader(book.of("kv"), LogSource.STDERR)
    reader.connection_made(pipe)
    reader.data_received((b"x" * 8000 + b"\n") * 30)
    first = len(book.kept())
    assert first < 10
    reader.connection_lost(None)
    assert not reader.ended.done()
    await reader.ended
    assert book.kept()[-1].message == "x" * 8000


def test_lines_may_come_at_once_and_then_at_their_rate() -> None:
    limit = LineLimit(rate=10, burst=3)
    assert [limit.take(0) for _ in range(4)] == [True, True, True, False]
    assert [limit.take(0.1), limit.take(0.1)] == [True, False]
    assert [limit.take(100) for _ in range(4)] == [True, True, True, False]


class ForeignPipe(asyncio.BaseTransport):
    """A pipe of an event loop whose transports are none of asyncio's classes for reading, as uvloop's are."""

    closed = False

    def close(self) -> None:
        self.closed = True


async def test_output_is_read_on_any_event_loop() -> None:
    book, pipe = LogBook(), ForeignPipe()
    reader = LineReader(book.of("kv"), LogSource.STDERR)
    reader.connection_made(pipe)
    reader.data_received(b"a line\n")
    assert messages(book.kept()) == ["a line"]
    reader.close()
    assert pipe.closed


async def test_what_a_plugin_prints_can_be_read_from_the_runtime(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "plugmux.plugin")
    async with Runtime([script(tmp_path, "kv", TALKER + KV_PLUGIN)]) as runtime:
        told = runtime.logs("kv")  # by the runtime also that the start takes long, on a busy machine
        lines = {(entry.source, entry.message) for entry in told if entry.source is not LogSource.RUNTIME}
        assert lines == {(LogSource.STDOUT, "to stdout"), (LogSource.STDERR, "to stderr")}
        assert runtime.logs() == runtime.logs("kv")
        with pytest.raises(PluginError, match="no plugin of that name"):
            runtime.logs("nobody")
        with pytest.raises(PluginError, match="no plugin of that name"):
            runtime.follow_logs("nobody")
    assert {record.getMessage() for record in caplog.records} >= {"to stdout", "to stderr"}


# -- the log service --------------------------------------------------------------------------------------------------


def registered(name: str | None) -> asyncio.Future[Registration]:
    """What a link's registration comes to: a plugin of that name, or nothing yet."""
    future: asyncio.Future[Registration] = asyncio.get_running_loop().create_future()
    if name is not None:
        future.set_result(Registration(name=name, version="v1.0.0"))
    return future


def log_client(book: LogBook, name: str | None = "kv") -> LogClient:
    return LogClient(AppTransport(App([PluginLogService(registered(name), book)])))


async def test_records_come_into_the_plugins_logger_with_time_level_and_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = pb.LogRecord(level=pb.LOG_LEVEL_ERROR, message="no disk", logger="store", fields_json='{"free": 0}')
    record.time.FromMilliseconds(1_700_000_000_250)
    caplog.set_level(logging.DEBUG, "plugmux.plugin.kv")
    await log_client(LogBook()).write(pb.WriteRequest(records=[record]))
    (logged,) = caplog.records
    assert (logged.name, logged.levelno, logged.getMessage()) == ("plugmux.plugin.kv", logging.ERROR, "no disk")
    assert logged.__dict__["plugin_fields"] == {"logger": "store", "free": 0}
    assert (logged.created, logged.msecs) == (1_700_000_000.25, 250)


async def test_what_a_plugin_has_dropped_is_told() -> None:
    book = LogBook()
    await log_client(book).write(pb.WriteRequest(dropped=7))
    (entry,) = book.kept()
    assert (entry.source, entry.level) == (LogSource.RUNTIME, logging.WARNING)
    assert "7 records" in entry.message


@pytest.mark.parametrize(
    ("record", "message", "fields"),
    [
        (pb.LogRecord(message="x" * 100_000), "x" * 8192, {}),
        (pb.LogRecord(message="m", fields_json="[1]"), "m", {"fields_json": "[1]"}),
        (pb.LogRecord(message="m", fields_json="{"), "m", {"fields_json": "{"}),
        (pb.LogRecord(message="m", fields_json="{" * 20_000), "m", {"fields_json": "{" * 200}),
        (pb.LogRecord(message="m", fields_json="[" * 16_000), "m", {"fields_json": "[" * 200}),
        (pb.LogRecord(message="\x1b[2J"), "\\x1b[2J", {}),
    ],
)
async def test_odd_records_do_no_harm(record: pb.LogRecord, message: str, fields: dict[str, object]) -> None:
    book = LogBook()
    await log_client(book).write(pb.WriteRequest(records=[record]))
    (entry,) = book.kept()
    assert (entry.message, dict(entry.fields), entry.level) == (message, fields, logging.INFO)


@pytest.mark.parametrize("seconds", [-1, 1 << 60])
async def test_a_time_that_no_calendar_has_is_taken_for_now(seconds: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "plugmux.plugin.kv")
    record = pb.LogRecord(message="m")
    record.time.seconds = seconds
    await log_client(LogBook()).write(pb.WriteRequest(records=[record]))
    assert logging.Formatter("%(asctime)s").format(caplog.records[0]).startswith("2")


@pytest.mark.parametrize(
    ("name", "count", "code"), [(None, 1, Code.FAILED_PRECONDITION), ("kv", 1001, Code.RESOURCE_EXHAUSTED)]
)
async def test_records_of_nobody_and_too_many_at_once_are_refused(name: str | None, count: int, code: Code) -> None:
    with pytest.raises(RpcError) as caught:
        await log_client(LogBook(), name).write(pb.WriteRequest(records=[pb.LogRecord()] * count))
    assert caught.value.code is code


# -- on the socket ----------------------------------------------------------------------------------------------------


async def test_logs_and_events_are_streamed_from_the_socket(tmp_path: Path) -> None:
    address = local_address(tmp_path)
    async with Runtime([kv_program(tmp_path)], listen=[address]) as runtime:
        client = RuntimeClient(SocketClient(address))
        with pytest.raises(RpcError) as caught:
            async with client.logs(runtime_pb2.LogsRequest(name="nobody")) as lines:
                await anext(aiter(lines))
        assert caught.value.code is Code.NOT_FOUND
        async with (
            client.events(runtime_pb2.EventsRequest()) as events,
            client.logs(runtime_pb2.LogsRequest(follow=True)) as lines,
        ):
            seen = aiter(events)
            first = await anext(seen)
            assert (first.plugin, first.before, first.state, first.health) == ("kv", "running", "running", "serving")
            await runtime.disable("kv")
            assert [(await anext(seen)).state for _ in range(2)] == ["stopping", "disabled"]
            runtime._logs.of("kv").write(LogSource.STDOUT, logging.WARNING, "hello", {"a": 1})
            told = aiter(lines)
            while (line := await anext(told)).source == "runtime":
                pass  # A start that takes long, on a busy machine, is told.
            assert (line.plugin, line.source, line.level, line.message) == ("kv", "stdout", "warning", "hello")
            assert line.fields_json == '{"a": 1}'
            await runtime.close()
            assert [event.state async for event in seen] == ["stopped"]
            assert [line.message async for line in lines] == []


@pytest.mark.parametrize(
    "reason", ["panic: no database", "FATAL ERROR: no heap", "# Fatal process out of memory: Zone"]
)
def test_the_reason_of_a_crash_stands_before_the_last_lines_of_a_long_account(reason: str) -> None:
    tail = Tail()
    for line in (reason, *(f"goroutine {number}" for number in range(100))):
        tail.add(line)
    first, second, *rest = str(tail).splitlines()
    assert (first, second, rest[-1]) == (reason, "[...]", "goroutine 99")
    assert len(rest) == 20


def test_the_reason_of_a_short_account_stands_where_it_was() -> None:
    tail = Tail()
    for line in ("panic: no database", "goroutine 1"):
        tail.add(line)
    assert str(tail) == "panic: no database\ngoroutine 1"
