"""Detached plugins outlive the runtime that started them, and the next one finds them again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import ConfigError, HealthPolicy, Launch, PluginCause, PluginError, Policies, RestartPolicy, Runtime
from plugmux.runners import DetachedRunner, detached, log_writer
from plugmux.runtime import Limits, State
from support.programs import KV_PLUGIN, kv_program, script
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


LINGERING_PLUGIN = (
    KV_PLUGIN
    + """
    import time
    time.sleep(0.2)  # the end that nobody may find it in
"""
)
"""Its process lives on for a while when its link has ended."""


async def test_a_restart_and_an_enable_after_a_disable_find_no_process_that_is_ending(
    directory: Path, tmp_path: Path
) -> None:
    program = script(tmp_path, "kv", LINGERING_PLUGIN)
    async with Runtime([Launch([program], runner=DetachedRunner(directory), timeout=30)]) as runtime:
        plugin = runtime.plugin("kv")
        first = plugin.pid
        await runtime.restart("kv")
        second = plugin.pid
        await runtime.disable("kv")
        assert second is not None
        assert not alive(second)
        await runtime.enable("kv")
        assert plugin.state is State.RUNNING
        assert len({first, second, plugin.pid}) == 3
        assert not plugin.restarts
        await runtime.disable("kv")


async def test_a_runtime_that_waits_for_it_has_it_when_the_one_before_closes(directory: Path) -> None:
    launch = Launch(example_plugin("go"), name="kv", runner=DetachedRunner(directory), timeout=30)
    socket_path = directory / "kv.sock"
    async with AsyncExitStack() as before, Runtime() as after:
        pid = (await (await before.enter_async_context(Runtime())).launch(launch)).pid
        assert not socket_path.exists()
        waiting = asyncio.create_task(after.launch(launch))
        async with asyncio.timeout(TIME):
            while not socket_path.exists():
                await asyncio.sleep(0.01)
        await before.aclose()
        assert (await waiting).pid == pid
        await after.disable("kv")


async def test_limits_of_the_kernel_hold_for_it(directory: Path, tmp_path: Path) -> None:
    program = kv_program(tmp_path)
    launch = Launch([program], runner=DetachedRunner(directory), timeout=30, limits=Limits(files=50))
    async with Runtime([launch]) as runtime:
        limits = Path(f"/proc/{runtime.plugin('kv').pid}/limits").read_text()
        assert re.search(r"^Max open files +50 +50 ", limits, re.MULTILINE)
        await runtime.disable("kv")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"replicas": 2}, "leave replicas out"),
        ({"limits": Limits(processes=3)}, "limit processes: it outlives the runtime"),
    ],
    ids=["replicas", "processes"],
)
def test_what_one_cannot_have_is_refused_before_it_is_started(
    options: dict[str, Any], told: str, directory: Path
) -> None:
    with pytest.raises(ConfigError, match=f"plugin 'kv' .*{told}"):
        Launch(["kv"], runner=DetachedRunner(directory), **options)


async def test_no_other_process_takes_its_place_while_it_runs(directory: Path, tmp_path: Path) -> None:
    program = kv_program(tmp_path)
    async with Runtime([Launch([program], runner=DetachedRunner(directory), timeout=30)]) as runtime:
        pid = runtime.plugin("kv").pid
        with pytest.raises(ConfigError, match=r"plugin 'kv' is detached.*restart"):
            await runtime.replace("kv")
        with pytest.raises(ConfigError, match=r"plugin 'kv' is detached.*next runtime"):
            await runtime.configure("kv", {"a": 1})
        assert (runtime.plugin("kv").pid, runtime.plugin("kv").state) == (pid, State.RUNNING)
        await runtime.disable("kv")


async def test_a_directory_that_others_can_write_is_refused(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    launch = Launch(example_plugin("go"), name="kv", runner=DetachedRunner(directory))
    async with Runtime([launch]) as runtime:
        error = runtime.plugin("kv").error
    assert error is not None
    assert error.cause is PluginCause.UNTRUSTED
    assert list(directory.iterdir()) == []


async def test_a_directory_that_others_can_swap_is_refused(directory: Path) -> None:
    (directory / "own").mkdir(parents=True)
    directory.chmod(0o777)
    async with Runtime([Launch(example_plugin("go"), name="kv", runner=DetachedRunner(directory / "own"))]) as runtime:
        error = runtime.plugin("kv").error
        assert error is not None
        assert error.cause is PluginCause.UNTRUSTED
    assert not list((directory / "own").iterdir())


async def test_a_file_in_the_place_of_its_socket_is_refused_and_left_alone(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "kv.sock").write_text("precious")
    launch = Launch(example_plugin("go"), name="kv", runner=DetachedRunner(directory))
    async with Runtime([launch]) as runtime:
        assert "is no socket" in str(runtime.plugin("kv").error)
    assert (directory / "kv.sock").read_text() == "precious"


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
    again = RestartPolicy(delay=0.01)
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


async def test_a_detached_plugin_that_hangs_is_ended_where_the_policy_says_so(directory: Path, tmp_path: Path) -> None:
    launch = Launch([kv_program(tmp_path)], runner=DetachedRunner(directory), restart=RestartPolicy(delay=0.01))
    health = HealthPolicy(interval=0.1, timeout=0.2, hung_after=2, on_hang="restart")
    async with Runtime([launch], policies=Policies(health=health)) as runtime:
        plugin = runtime.plugin("kv")
        before = plugin.pid
        assert before is not None
        os.kill(before, signal.SIGSTOP)
        await gone(before)
        while plugin.state is not State.RUNNING or plugin.pid == before:
            await plugin.changed()
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value == str(plugin.pid).encode()


CHATTERBOX = """
    import threading, time
    from plugmux import Plugin

    def chatter():
        while True:
            print("x" * 1000)
            time.sleep(0.001)

    threading.Thread(target=chatter, daemon=True).start()
    Plugin(app=lambda *_: None, version="v1.0.0").run()
"""


async def test_the_log_of_a_detached_plugin_is_kept_short_also_without_a_runtime(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detached, "MAX_LOG", 10_000)
    launch = Launch([script(tmp_path, "kv", CHATTERBOX)], runner=DetachedRunner(directory))
    log, before = directory / "kv.log", directory / "kv.log.1"
    async with Runtime([launch]) as runtime:
        assert runtime.plugin("kv").error is None
    turned = set[int]()
    async with asyncio.timeout(TIME):
        while len(turned) < 3:
            with suppress(FileNotFoundError):  # It is replaced by another file.
                turned.add(before.stat().st_mtime_ns)
                assert 0 < before.stat().st_size <= 10_000
                assert log.stat().st_size <= 10_000
            await asyncio.sleep(0.005)


def test_what_cannot_be_written_to_a_log_is_dropped(tmp_path: Path) -> None:
    log = tmp_path / "kv.log"
    (tmp_path / "kv.log.1").mkdir()  # which no file can replace
    reading, writing = os.pipe()
    for line in (b"first\n", b"second\n"):
        os.write(writing, line)
    os.close(writing)
    log_writer.write(reading, str(log), 6)
    os.close(reading)
    assert log.read_text() == "first\n"
