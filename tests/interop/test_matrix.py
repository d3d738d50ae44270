"""Every host against every plugin: three languages, one wire."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest, RecordRequest, RecordResponse, WatchRequest

from plugmux import Launch, Runtime
from plugmux.connect import Context, RpcError
from plugmux.secrets import Resolver
from support.tools import LANGUAGES, ROOT, example_plugin, go_host, go_plugin, ts_host, ts_plugin


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=("socket", "pipes"))
def launch(request: pytest.FixtureRequest, language: str) -> Launch:
    command = ts_plugin(bundled=False) if language == "ts" else example_plugin(language)
    return Launch(command, name=f"{language}-plugin", link=request.param, timeout=60)


async def test_a_python_host_resolves_a_secret_and_calls_the_key_value_service_of_each(
    launch: Launch, language: str
) -> None:
    async with Runtime([launch]) as runtime:
        secret = await Resolver(runtime).get(f"{language}/greeting")
        assert secret.provider == f"{language}-plugin"
        assert secret.value
        kv = runtime.client(KeyValueClient)
        await kv.put(PutRequest(key="a", value=b"\x00\xff" * 50_000))
        assert (await kv.get(GetRequest(key="a"))).value == b"\x00\xff" * 50_000
        with pytest.raises(RpcError) as caught:
            await kv.get(GetRequest(key="absent"))
        assert caught.value.code.name == "NOT_FOUND"
        async with kv.watch(WatchRequest(key="a")) as values:
            stream = aiter(values)
            assert (await anext(stream)).value == b"\x00\xff" * 50_000
            await kv.put(PutRequest(key="a", value=b"2"))
            assert (await anext(stream)).value == b"2"


async def test_a_python_host_is_called_back_by_the_go_plugin() -> None:
    from kv.v1.kv_connect import AuditService

    class Audit(AuditService):
        events: list[str] = []  # noqa: RUF012 -- one test, one class

        async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
            self.events.append(request.plugin)
            return RecordResponse()

    async with Runtime([Launch(go_plugin(), name="go-plugin")], services=[Audit()]) as runtime:
        await runtime.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))
    assert Audit.events == ["go-plugin"]


@pytest.mark.parametrize("host", ["go", "ts"])
def test_a_host_in_another_language_uses_each_plugin(host: str, language: str) -> None:
    command = [*(go_host(language) if host == "go" else ts_host()), *example_plugin(language)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])


def test_the_example_host_uses_all_three() -> None:
    go_plugin(), ts_plugin(bundled=False)
    program = [sys.executable, str(ROOT / "examples/host/host.py")]
    result = subprocess.run(program, capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == 0, result.stderr
    for language in LANGUAGES:
        assert f"{language}/greeting" in result.stdout
