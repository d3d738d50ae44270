"""Mistakes that everybody makes once: each is told where it was made, with what helps, and told once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse, WatchRequest

from plugmux import Code, Host, Launch, PluginCause, RpcError, Runtime
from plugmux.errors import ConfigError, StateError
from plugmux.http import SocketClient
from support.programs import kv_program, script
from support.tools import local_address

FAILING = """
    from kv.v1.kv_connect import KeyValueService
    from plugmux import Plugin

    class Store(KeyValueService):
        async def get(self, request, context):
            raise KeyError(f"no shelf for {request.key}")

        async def watch(self, request, context):
            raise KeyError(f"no shelf for {request.key}")
            yield

    Plugin(Store(), version="v1.0.0").run()
"""


@pytest.mark.parametrize("debug", [False, True])
async def test_what_a_handler_raises_is_one_record_and_goes_to_the_caller_where_the_host_asks_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, debug: bool
) -> None:
    async with Runtime([script(tmp_path, "failing", FAILING)], host=Host(debug=debug)) as runtime:
        kv = runtime.client(KeyValueClient)
        with pytest.raises(RpcError) as unary:
            await kv.get(GetRequest(key="a"))
        with pytest.raises(RpcError) as stream:
            async for _ in kv.watch(WatchRequest(key="a")):
                pass
        for caught in (unary, stream):
            assert caught.value.code is Code.INTERNAL
            assert ("KeyError: 'no shelf for a'" in str(caught.value)) is debug
            assert ("Traceback" in str(caught.value)) is debug
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [
        record.getMessage().count("Traceback") + (record.exc_text or "").count("Traceback") for record in records
    ] == [
        1,
        1,
    ]
    assert all(record.name.startswith("plugmux.plugin.failing") for record in records)


def test_a_misspelt_handler_is_an_error_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Store\.gett is no method of kv\.v1\.KeyValueService .*did you mean get\?"):

        class Store(KeyValueService):
            async def gett(self, request: GetRequest, context: Any) -> None: ...

    with pytest.raises(TypeError, match=r"did you mean watch\?"):

        class Watching(KeyValueService):
            async def Watch(self, request: WatchRequest, context: Any) -> None: ...


def test_methods_that_are_no_handlers_are_the_authors_own() -> None:
    class Base(KeyValueService):
        async def get(self, request: GetRequest, context: Any) -> GetResponse:
            return GetResponse()

    class Store(Base):
        def gets(self, request: GetRequest, context: Any) -> None: ...

        def puts(self, key: str) -> None: ...

        def _watchh(self, request: GetRequest, context: Any) -> None: ...

        def anything_else(self, request: GetRequest, context: Any) -> None: ...

        puut = 3

    assert Store.spec.name == "kv.v1.KeyValueService"


@pytest.mark.parametrize("plugin", [None, "kv"])
async def test_a_runtime_that_was_not_started_says_so(plugin: str | None) -> None:
    runtime = Runtime([["./kv-plugin"]])
    with pytest.raises(StateError, match=r"the runtime has not been started: use it in `async with Runtime\(\.\.\.\)"):
        await runtime.client(KeyValueClient, plugin=plugin).get(GetRequest(key="a"))


async def test_a_program_that_runs_no_plugin_is_told_what_is_missing(tmp_path: Path) -> None:
    source = FAILING.replace(".run()", "")
    async with Runtime([script(tmp_path, "forgot", source)]) as runtime:
        error = runtime.plugin("forgot").error
    assert error is not None
    assert error.cause is PluginCause.EXITED
    assert "its program came to its end without running a plugin (plugin.run() in Python" in str(error)


async def test_a_late_start_names_what_gives_it_more_time() -> None:
    async with Runtime([Launch(["sleep", "600"], timeout=0.2)]) as runtime:
        error = runtime.plugin("sleep").error
    assert error is not None
    assert "give it more time (Launch(timeout=...), or Timeouts.registration for all plugins)" in str(error)


async def test_one_of_two_plugins_of_a_service_is_chosen_over_a_socket(tmp_path: Path) -> None:
    program = kv_program(tmp_path)
    address = local_address(tmp_path)
    async with Runtime([Launch([program], "one"), Launch([program], "two")], listen=[address]) as runtime:
        with pytest.raises(RpcError, match="one, two"):
            await KeyValueClient(SocketClient(address)).get(GetRequest(key="pid"))
        for name in ("one", "two"):
            kv = KeyValueClient(SocketClient(address, plugin=name))
            assert int((await kv.get(GetRequest(key="pid"))).value) == runtime.plugin(name).pid
    with pytest.raises(ConfigError, match="cannot be a plugin's name"):
        SocketClient(address, plugin="a\r\nb")


@pytest.mark.parametrize("command", ["./kv --quiet", "x", ""])
def test_a_launch_takes_words_and_not_a_text(command: str) -> None:
    with pytest.raises(ConfigError, match="is one text; give its words: Launch") as caught:
        Launch(command, name="kv")
    assert str(caught.value).endswith(f"Launch({command.split()})")
