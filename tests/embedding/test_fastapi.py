"""The runtime in a FastAPI application, and in the fixtures of tests."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Policies, Runtime, Timeouts
from plugmux.exchange import ASGIApp
from plugmux.runtime import State
from support.pages import examples, run_examples
from support.programs import KV_PLUGIN, kv_program, script
from support.pytests import FEW_PLUGINS
from support.resources import ProcessResources
from support.tools import ROOT


@pytest.fixture
def app() -> FastAPI:
    """The application of examples/fastapi, loaded anew."""
    spec = importlib.util.spec_from_file_location("example_app", ROOT / "examples/fastapi/app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: FastAPI = module.app
    return found


def test_a_route_calls_a_plugin_from_start_to_end_of_the_application(app: FastAPI) -> None:
    with TestClient(app) as client:
        assert client.get("/plugins").json() == {"python-plugin": "running"}
        assert client.put("/values/a", content=b"\x00\xff").status_code == 204
        assert client.get("/values/a").content == b"\x00\xff"
        assert client.get("/values/b").status_code == 404


async def test_many_requests_at_once_share_the_runtime(app: FastAPI) -> None:
    before = ProcessResources.take()
    async with (
        app.router.lifespan_context(app) as state,
        httpx.AsyncClient(transport=httpx.ASGITransport(with_state(app, state or {})), base_url="http://app") as client,
    ):
        assert state is not None
        await client.put("/values/a", content=b"1")
        replies = await asyncio.gather(*(client.get("/values/a") for _ in range(50)))
        assert {reply.content for reply in replies} == {b"1"}
        runtime: Runtime = state["runtime"]
        await runtime.disable("python-plugin")
        refused = await client.get("/values/a")
        assert (refused.status_code, "disabled" in refused.text) == (503, True)
    assert ProcessResources.take() == before


def with_state(app: FastAPI, state: Mapping[str, Any]) -> ASGIApp:
    """The application as a server calls it: with what the lifespan gave in every scope."""
    return lambda scope, receive, send: app({**scope, "state": dict(state)}, receive, send)


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        yield runtime


async def test_a_fixture_gives_the_runtime_to_a_test(runtime: Runtime) -> None:
    assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value


async def test_one_task_starts_it_and_another_closes_it(tmp_path: Path) -> None:
    runtime = Runtime([kv_program(tmp_path)])
    await asyncio.create_task(runtime.start())
    pid = runtime.plugin("kv").pid
    assert pid is not None
    assert await asyncio.create_task(runtime.client(KeyValueClient).get(GetRequest(key="pid")))
    await asyncio.create_task(runtime.close())
    assert runtime.plugin("kv").state is State.STOPPED
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    before = ProcessResources.take()
    runtime = Runtime(
        [script(tmp_path, "kv", "import time; time.sleep(3600)")], policies=Policies(timeouts=Timeouts(registration=60))
    )
    start = asyncio.create_task(runtime.start())
    while not runtime.plugins() or runtime.plugins()[0].state is not State.REGISTERING:
        await asyncio.sleep(0.001)
    start.cancel()
    await asyncio.wait([start])
    assert start.cancelled()
    assert ProcessResources.take() == before


async def test_every_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "kv-plugin", KV_PLUGIN)
    monkeypatch.chdir(tmp_path)
    names = await run_examples("docs/embedding.md", {"KeyValueClient": KeyValueClient, "GetRequest": GetRequest})
    with TestClient(names["app"]) as client:
        assert client.get("/values/pid").json().isdecimal()


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_the_fixture_of_the_page_serves_a_test(mode: str, tmp_path: Path) -> None:
    script(tmp_path, "kv-plugin", KV_PLUGIN)
    _, fixture, *_ = examples("docs/embedding.md")
    head = (
        "from kv.v1.kv_connect import KeyValueClient\n"
        "from kv.v1.kv_pb2 import GetRequest\n"
        "from plugmux import Runtime\n"
    )
    (tmp_path / "test_page.py").write_text(head + fixture.replace('key="a"', 'key="pid"'))
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nasyncio_mode = {mode}\n")
    environment = {**os.environ, **FEW_PLUGINS, "PYTHONPATH": str(ROOT / "examples/gen/python")}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_page.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout
