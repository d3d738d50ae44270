"""The log handler of a plugin: everything reaches the runtime, in order, and nothing ever waits for it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from plugmux_proto.plugmux.v1 import log_pb2 as pb
from plugmux_proto.plugmux.v1.log_connect import LogService

from plugmux import ConfigError, Plugin
from plugmux.connect import Code, Context, RpcError
from plugmux.link.app import Gate, LinkApp
from plugmux.link.link import Link, Peer
from plugmux.plugin import LogHandler
from plugmux.plugin.logging import BATCH, MAX_TEXT


class Taking(LogService):
    """A runtime's log service, which may refuse."""

    def __init__(self) -> None:
        self.records: list[pb.LogRecord] = []
        self.dropped = 0
        self.refusals = 0
        self.unwanted: str | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.came = asyncio.Event()

    async def write(self, request: pb.WriteRequest, context: Context) -> pb.WriteResponse:
        assert len(request.records) <= BATCH
        self.came.set()
        await self.open.wait()
        if self.refusals:
            self.refusals -= 1
            raise RpcError(Code.INTERNAL, "not now")
        if self.unwanted in {record.message for record in request.records}:
            raise RpcError(Code.INVALID_ARGUMENT, "never")
        self.records += request.records
        self.dropped += request.dropped
        return pb.WriteResponse()

    async def has(self, count: int) -> list[str]:
        while len(self.records) < count:
            await asyncio.sleep(0.005)
        return [record.message for record in self.records]


@asynccontextmanager
async def linked(handler: LogHandler, *services: LogService) -> AsyncIterator[None]:
    """A link to a runtime that serves these services; the plugin has registered."""
    near = Link(LinkApp(), initiator=True, peer=Peer("the runtime"))
    far = Link(LinkApp(services), initiator=False, peer=Peer("kv"))
    ends = socket.socketpair()
    async with await near.over_socket(ends[0]), await far.over_socket(ends[1]):
        gate = Gate(None)
        async with handler._sending_over(near, gate):
            gate.open()
            yield


def logger_with(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("app.store")
    logger.addHandler(handler)
    return logger


async def test_records_arrive_with_level_time_logger_and_fields() -> None:
    taking, handler = Taking(), LogHandler(Plugin(name="kv"))
    logger = logger_with(handler)
    async with linked(handler, taking):
        logger.warning("%d free", 3, extra={"disk": "/", "odd": {1: object}})
        await taking.has(1)
    (record,) = taking.records
    assert (record.level, record.message, record.logger) == (pb.LOG_LEVEL_WARNING, "3 free", "app.store")
    assert json.loads(record.fields_json) == {"disk": "/", "odd": {"1": "<class 'object'>"}}
    assert record.time.seconds > 1_700_000_000


@pytest.mark.parametrize(
    ("level", "sent"),
    [
        (5, pb.LOG_LEVEL_DEBUG),
        (logging.DEBUG, pb.LOG_LEVEL_DEBUG),
        (logging.INFO, pb.LOG_LEVEL_INFO),
        (35, pb.LOG_LEVEL_WARNING),
        (logging.ERROR, pb.LOG_LEVEL_ERROR),
        (logging.CRITICAL, pb.LOG_LEVEL_CRITICAL),
    ],
)
async def test_every_level_has_one_on_the_wire(level: int, sent: int) -> None:
    taking, handler = Taking(), LogHandler(Plugin(name="kv"))
    async with linked(handler, taking):
        logger_with(handler).log(level, "x")
        await taking.has(1)
    assert taking.records[0].level == sent


async def test_what_was_said_before_the_registration_and_at_the_very_end_arrives_too() -> None:
    taking, handler = Taking(), LogHandler(Plugin(name="kv"))
    logger = logger_with(handler)
    logger.info("before")
    async with linked(handler, taking):
        assert await taking.has(1) == ["before"]
        logger.info("last")
    assert await taking.has(2) == ["before", "last"]


def count(logger: logging.Logger, thread: int) -> None:
    for number in range(300):
        logger.info("%d %d", thread, number)


async def test_records_from_threads_arrive_in_order() -> None:
    taking, handler = Taking(), LogHandler(Plugin(name="kv"), capacity=10_000)
    logger = logger_with(handler)
    async with linked(handler, taking):
        threads = [threading.Thread(target=count, args=(logger, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        messages = await taking.has(1200)
        for thread in threads:
            thread.join()
    for n in range(4):
        assert [message for message in messages if message.startswith(f"{n} ")] == [f"{n} {i}" for i in range(300)]
    assert taking.dropped == 0


def test_what_a_signal_handler_says_while_a_record_is_queued_blocks_nothing() -> None:
    handler = LogHandler(Plugin(name="kv"))
    logger = logger_with(handler)

    def interrupted() -> None:
        with handler._guard:  # The handler runs in the thread that it has interrupted.
            logger.warning("reloading")

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert [record.message for record in handler._waiting] == ["reloading"]


async def test_a_full_queue_loses_the_oldest_and_counts_them() -> None:
    taking, handler = Taking(), LogHandler(Plugin(name="kv"), capacity=100)
    logger = logger_with(handler)
    for number in range(250):
        logger.info("%d", number)
    async with linked(handler, taking):
        assert await taking.has(100) == [str(number) for number in range(150, 250)]
    assert taking.dropped == 150


async def test_what_the_runtime_did_not_take_is_sent_again() -> None:
    taking, handler = Taking(), LogHandler(Plugin(name="kv"))
    taking.refusals = 1
    logger = logger_with(handler)
    async with linked(handler, taking):
        logger.info("one")
        logger.info("two")
        assert await taking.has(2) == ["one", "two"]


async def test_records_that_the_runtime_refuses_hold_no_others_up() -> None:
    taking, handler = Taking(), LogHandler(Plugin(name="kv"))
    taking.unwanted = "one"
    logger = logger_with(handler)
    async with linked(handler, taking):
        logger.info("one")
        while not handler._dropped:
            await asyncio.sleep(0.005)
        logger.info("two")
        assert await taking.has(1) == ["two"]
    assert taking.dropped == 1


async def test_a_record_under_way_when_the_link_breaks_goes_over_the_next() -> None:
    taking, handler = Taking(), LogHandler(Plugin(name="kv"))
    taking.open.clear()
    logger = logger_with(handler)
    async with linked(handler, taking):
        logger.info("one")
        await taking.came.wait()
    taking.open.set()
    async with linked(handler, taking):
        assert (await taking.has(1))[-1] == "one"


async def test_without_a_log_service_records_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LogHandler(Plugin(name="kv"))
    logger = logger_with(handler)
    logger.info("one")
    async with linked(handler):
        while not handler._to_stderr:
            await asyncio.sleep(0.005)
        logger.info("two")
    assert capsys.readouterr().err == "one\ntwo\n"


def test_what_could_not_be_sent_goes_to_stderr_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LogHandler(Plugin(name="kv"))
    logger_with(handler).info("left")
    handler.close()
    assert capsys.readouterr().err == "left\n"


async def test_what_sending_itself_says_is_not_sent() -> None:
    taking, handler = Taking(), LogHandler(Plugin(name="kv"))
    logger = logger_with(handler)
    noisy = logging.getLogger("plugmux")
    noisy.addHandler(handler)
    try:
        async with linked(handler, taking):
            logger.info("one")
            assert await taking.has(1) == ["one"]
    finally:
        noisy.removeHandler(handler)
    assert len(taking.records) == 1


CIRCLE: dict[str, Any] = {}
CIRCLE["self"] = CIRCLE


@pytest.mark.parametrize(
    ("extra", "fields"),
    [
        ({}, {}),
        ({"circle": CIRCLE}, {"circle": "{'self': {...}}"}),
        ({"long": "x" * MAX_TEXT}, {"cut": '{"long": "' + "x" * (MAX_TEXT // 4 - 10)}),
    ],
)
async def test_odd_fields_do_no_harm(extra: dict[str, Any], fields: dict[str, Any]) -> None:
    taking, handler = Taking(), LogHandler(Plugin(name="kv"))
    async with linked(handler, taking):
        logger_with(handler).info("x\ud800" + "y" * MAX_TEXT, extra=extra)
        await taking.has(1)
    (record,) = taking.records
    assert record.message.startswith("x\\ud800yyy")
    assert record.message.endswith("yyy")
    assert record.message.count("[...]") == 1
    assert json.loads(record.fields_json or "{}") == fields


async def test_an_exception_is_told_with_its_trace() -> None:
    taking, handler = Taking(), LogHandler(Plugin(name="kv"))
    async with linked(handler, taking):
        try:
            raise KeyError("k")
        except KeyError:
            logger_with(handler).exception("failed")
        (message,) = await taking.has(1)
    assert message.startswith("failed\nTraceback")
    assert message.endswith("KeyError: 'k'")


def test_a_capacity_below_one_is_refused() -> None:
    with pytest.raises(ConfigError):
        LogHandler(Plugin(name="kv"), capacity=0)
