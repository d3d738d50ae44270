"""What a user sees of a handler that fails in a plugin, with nothing set up on either side."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, Runtime
from plugmux.connect import Code, RpcError
from support.programs import KV_PLUGIN, script
from support.tools import faulty_plugin

PLUGIN = KV_PLUGIN.replace(
    'if request.key == "exit":',
    'if request.key == "fail":\n                1 / 0\n            if request.key == "exit":',
)
DEFAULT_LEVEL = logging.WARNING
"""From here on `logging` prints where nobody has set it up."""


async def test_the_hosts_log_shows_one_error_with_the_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Runtime([Launch([script(tmp_path, "kv", PLUGIN)], timeout=60)]) as runtime:
        caplog.clear()  # a busy machine is told of a slow start
        with pytest.raises(RpcError) as caught:
            await runtime.client(KeyValueClient).get(GetRequest(key="fail"))
        assert caught.value.code is Code.INTERNAL
        async for entry in runtime.follow_logs("kv"):
            if entry.level == logging.ERROR:
                break
    (record,) = [record for record in caplog.records if record.levelno >= DEFAULT_LEVEL]
    assert (record.levelno, record.name) == (logging.ERROR, "plugmux.plugin.kv")
    assert "/kv.v1.KeyValueService/Get failed\nTraceback" in record.message
    assert record.message.endswith("ZeroDivisionError: division by zero")


FAULTY = {"python": "faulty.py", "go": "faults/plugins/go/main.go", "ts": "faulty.js"}
"""Where the handler stands that fails, as a stack names it."""


@pytest.mark.parametrize(("language", "arguments"), [("python", ()), ("go", ()), ("go", ("slog",)), ("ts", ())])
async def test_in_every_language_the_record_names_plugin_method_and_stack(
    language: str, arguments: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    command = faulty_plugin(language, *arguments)
    async with Runtime([Launch(command, name="faulty", timeout=60)]) as runtime:
        caplog.clear()  # a busy machine is told of a slow start
        with pytest.raises(RpcError) as caught:
            await runtime.client(KeyValueClient).get(GetRequest(key="fail"))
        assert caught.value.code is Code.INTERNAL
        assert "no such luck" not in caught.value.message
        async for entry in runtime.follow_logs("faulty"):
            if entry.level == logging.ERROR:
                break
    (record,) = [record for record in caplog.records if record.levelno >= DEFAULT_LEVEL]
    assert (record.levelno, record.name) == (logging.ERROR, "plugmux.plugin.faulty")
    shown = record.getMessage()
    for told in ("kv.v1.KeyValueService/Get", "no such luck", FAULTY[language]):
        assert told in shown
