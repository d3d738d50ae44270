"""Tools that know nothing of plugmux call through a runtime's socket, JSON in and out."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from plugmux import Runtime
from support.programs import kv_program
from support.tools import ROOT, tool

BUF = [str(Path(sys.executable).parent / "buf"), "curl", "--schema", str(ROOT / "examples/proto")]
PID = {"key": "pid"}


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[str]:
    """The socket of a runtime with one plugin."""
    path = f"{tmp_path}/runtime/plugmux.sock"
    async with Runtime([kv_program(tmp_path)], listen=[f"unix:{path}"]):
        yield path


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode()


async def test_curl_calls_the_runtime_and_its_plugins(path: str) -> None:
    curl = [tool("curl"), "--silent", "--fail-with-body", "--unix-socket", path, "-H", "content-type: application/json"]
    version = json.loads(await run(*curl, "-d", "{}", "http://unix/health.v1.VersionService/GetVersion"))
    assert version["version"].startswith("v")
    reply = json.loads(await run(*curl, "-d", json.dumps(PID), "http://unix/kv.v1.KeyValueService/Get"))
    assert set(reply) == {"value"}


async def test_buf_curl_calls_plugins_by_their_protos(path: str) -> None:
    buf = [*BUF, "--unix-socket", path, "-d", json.dumps(PID)]
    assert set(json.loads(await run(*buf, "http://unix/kv.v1.KeyValueService/Get"))) == {"value"}
    watched = await run(*buf, "http://unix/kv.v1.KeyValueService/Watch")
    assert watched.count('"value"') == 3
