"""What the page about programs without asyncio says, run."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueSyncClient
from kv.v1.kv_pb2 import GetRequest, WatchRequest

from support.pages import run_examples
from support.programs import KV_PLUGIN, script
from support.tools import ROOT

VAULT = """
    from plugmux import Plugin
    from plugmux.secrets import Provider, Secret

    class Vault(Provider):
        pattern = "vault/**"

        async def get_secrets(self, pattern):
            yield Secret(id="vault/db/password", value=b"x")

    Plugin(Vault(), version="v1.0.0").run()
"""


STUBS = str(ROOT / "tests/connect/gen")

ECHO = f"""
    import sys
    sys.path.append({STUBS!r})
    from echo.v1.echo_connect import EchoService
    from echo.v1.echo_pb2 import ChatResponse
    from plugmux import Plugin

    class Echo(EchoService):
        async def chat(self, requests, context):
            async for request in requests:
                yield ChatResponse(text=request.text)

    Plugin(Echo(), version="v1.0.0").run()
"""


async def test_every_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "kv-plugin", KV_PLUGIN)
    script(tmp_path, "vault-plugin", VAULT)
    script(tmp_path, "echo-plugin", ECHO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(STUBS)
    names = {**vars(import_module("echo.v1.echo_connect")), **vars(import_module("echo.v1.echo_pb2"))}
    names |= {"KeyValueSyncClient": KeyValueSyncClient, "GetRequest": GetRequest, "WatchRequest": WatchRequest}
    found = await run_examples("docs/sync.md", names)
    assert found["reply"].value.isdigit()
    assert found["values"] == [b"0", b"1", b"2"]
    assert found["answer"] == "you said hello"
    assert found["secret"].value == b"x"
    assert 0 < found["ping"] < 60
