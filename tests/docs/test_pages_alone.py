"""The Python examples of pages that no other folder of tests runs."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import AuditClient, KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse, PutRequest, PutResponse

from plugmux import Plugin, Runtime
from plugmux.connect import Context
from plugmux.testing import launch_plugin, plugin_host
from support.kv_store import Audit
from support.pages import examples, run_examples
from support.programs import script
from support.tools import ROOT

ALWAYS_ONE = """
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux import Plugin

    class Store(KeyValueService):
        async def get(self, request, context):
            return GetResponse(value=b"1")

    Plugin(Store(), version="v1.0.0").run()
"""


class Store(KeyValueService):
    def __init__(self) -> None:
        self.values = {"a": b"1"}

    async def put(self, request: PutRequest, context: Context) -> PutResponse:
        self.values[request.key] = request.value
        return PutResponse()

    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        return GetResponse(value=self.values[request.key])


async def test_the_page_on_installing() -> None:
    names = await run_examples("docs/install.md")
    assert isinstance(names["runtime"], Runtime)


async def test_the_page_on_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plugin = Plugin(Store(), name="kv", version="v1.0.0")
    async with plugin_host(plugin) as host:
        names: dict[str, Any] = {
            "plugin": plugin,
            "pytest": pytest,
            "host": host,
            "Runtime": Runtime,
            "KeyValueService": KeyValueService,
            "AuditClient": AuditClient,
            "Audit": Audit,
            "GetRequest": GetRequest,
            "KeyValueClient": KeyValueClient,
        }
        names = await run_examples("docs/testing.md", names)
    tests = [
        name for name, value in names.items() if name.startswith("test_") and not inspect.signature(value).parameters
    ]
    assert tests == ["test_put_and_get", "test_a_slow_answer"]
    for name in tests:
        await names[name]()
    await names["test_get"](launch_plugin, [script(tmp_path, "kv", ALWAYS_ONE)])


async def test_the_page_on_tox() -> None:
    (shown,) = examples("docs/tox.md")
    source = iter((ROOT / "examples/tox/tests/test_kv.py").read_text().splitlines())
    assert all(line in source for line in shown.splitlines()), (
        "the page shows what examples/tox does not have, in order"
    )
