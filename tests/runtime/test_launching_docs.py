"""What docs/launching.md and docs/developing.md say, run."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux.contract.launch import LaunchConfig
from plugmux.runtime.process.local import SAFE, SAFE_PREFIXES
from support.docker import Docker
from support.pages import examples, run_examples
from support.programs import script

KV_PLUGIN = """
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux import Plugin

    class Store(KeyValueService):
        async def get(self, request, context):
            return GetResponse(value=b"1")

    Plugin(Store(), version=OPTIONS["version"]).run()
"""
BUSY_PLUGIN = f"""
    import threading
    threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
    {KV_PLUGIN.strip()}
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, which is the current one and on PATH, with the plugins that the pages name."""
    script(tmp_path, "kv-plugin", KV_PLUGIN, version="v1.0.0")
    script(tmp_path, "kv-plugin-2", KV_PLUGIN, version="v2.0.0")
    script(tmp_path, "busy-plugin", BUSY_PLUGIN, version="v1.0.0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


NAMES = {"KeyValueClient": KeyValueClient, "GetRequest": GetRequest}


async def test_every_example_of_the_page_on_launching_runs(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Docker.install(tmp_path / "docker", monkeypatch)
    await run_examples("docs/launching.md", dict(NAMES))


@asynccontextmanager
async def starter() -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Starts the plugin as its author would, and sees it end."""
    started: list[asyncio.subprocess.Process] = []

    async def start_by_hand(path: str) -> None:
        while not os.path.exists(path):
            await asyncio.sleep(0.01)
        variables = LaunchConfig("kv-plugin", 60.0, socket=path).to_environ()
        started.append(await asyncio.create_subprocess_exec("./kv-plugin", env=os.environ | variables))

    yield start_by_hand
    for process in started:
        assert await process.wait() == 0


async def test_every_example_of_the_page_on_developing_runs(programs: Path) -> None:
    async with starter() as start_by_hand:
        await run_examples("docs/developing.md", NAMES | {"start_by_hand": start_by_hand})


def test_the_commands_of_the_page_are_those_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    from plugmux.cli import main

    (dev,) = examples("docs/developing.md", "sh")
    (run,) = examples("docs/developing.md", "console")
    for line in (dev, run.splitlines()[0].removeprefix("$ ")):
        command, *options = shlex.split(line)[1:]
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        described = capsys.readouterr().out
        assert all(option in described for option in options if option.startswith("--"))


def test_the_page_lists_every_variable_that_passes() -> None:
    (listed,) = examples("docs/launching.md", "text")
    assert set(listed.split()) == SAFE | {f"{prefix}*" for prefix in SAFE_PREFIXES}
