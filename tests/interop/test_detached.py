"""Detached plugins outlive the runtime that started them, and the next one finds them again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import Launch, PluginCause, PluginError, Restart, Runtime, State
from plugmux.runtime import DetachedRunner
from support.programs import script
from support.tools import LANGUAGES, example_plugin

TIME = 60.0


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Path]:
    """Where the detached plugins of a test are known; whoever is still there in the end is killed."""
    path = tmp_path / "detached"
    yield path
    for note in path.glob("*.json"):
        process = json.loads(note.read_text())["pid"]
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(TIME):
        while alive(pid):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_outlives_its_runtime_and_is_found_by_the_next(language: str, directory: Path) -> None:
    launch = Launch(example_plugin(language), name="kv", runner=DetachedRunner(directory), timeout=30)
    async with Runtime([launch]) as first:
        plugin = first.plugin("kv")
        assert plugin.error is None, plugin.error
        pid = plugin.pid
        assert pid is not None
        await first.client(KeyValueClient).put(PutRequest(key="a", value=b"kept"))
    assert alive(pid)
    async with Runtime([launch]) as second:
        assert second.plugin("kv").pid == pid
        assert (await second.client(KeyValueClient).get(GetRequest(key="a"))).value == b"kept"
        await second.disable("kv")
        await gone(pid)


async def test_one_that_has_died_meanwhile_is_started_anew(directory: Path) -> None:
    launch = Launch(example_plugin("go"), name="kv", runner=DetachedRunner(directory), timeout=30)
    async with Runtime([launch]) as first:
        pid = first.plugin("kv").pid
        assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await gone(pid)
    async with Runtime([launch]) as second:
        assert second.plugin("kv").error is None
        assert second.plugin("kv").pid != pid


async def test_one_that_dies_at_work_is_started_again(directory: Path) -> None:
    again = Restart(delay=0.01)
    launch = Launch(example_plugin("go"), name="kv", runner=DetachedRunner(directory), timeout=30, restart=again)
    async with Runtime([launch]) as runtime:
        plugin = runtime.plugin("kv")
        assert plugin.pid is not None
        os.kill(plugin.pid, signal.SIGKILL)
        async with asyncio.timeout(TIME):
            while not (plugin.restarts and plugin.state is State.RUNNING):
                await plugin.changed()


async def test_a_process_that_has_got_the_number_of_the_plugin_is_left_alone(directory: Path) -> None:
    launch = Launch(example_plugin("go"), name="kv", runner=DetachedRunner(directory), timeout=30)
    async with Runtime([launch]) as first:
        pid = first.plugin("kv").pid
        await first.disable("kv")
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        note = directory / "kv.json"
        note.write_text(json.dumps({**json.loads(note.read_text()), "pid": stranger.pid}))
        async with Runtime([launch]) as second:
            assert second.plugin("kv").pid not in {pid, stranger.pid}
            await second.disable("kv")
        assert stranger.poll() is None
        stranger.kill()


async def test_one_that_never_registers_is_told_with_the_end_of_its_log(directory: Path, tmp_path: Path) -> None:
    program = script(tmp_path, "kv", "raise SystemExit('no such thing')")
    async with Runtime() as runtime:
        with pytest.raises(PluginError, match="no such thing") as caught:
            await runtime.launch(Launch([program], runner=DetachedRunner(directory)))
    assert caught.value.cause is PluginCause.EXITED


async def test_the_directory_and_the_log_are_private(directory: Path) -> None:
    launch = Launch(example_plugin("go"), name="kv", runner=DetachedRunner(directory), timeout=30)
    async with Runtime([launch]) as runtime:
        assert directory.stat().st_mode & 0o777 == 0o700
        assert (directory / "kv.log").stat().st_mode & 0o777 == 0o600
        await runtime.disable("kv")
