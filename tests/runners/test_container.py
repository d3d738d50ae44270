"""Plugins in containers, held against a stand-in for docker's command line. (Nothing here has met a real engine.)"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import ConfigError, Launch, PluginCause, Policies, Runtime, Timeouts
from plugmux.runners import ContainerRunner
from plugmux.runtime import Limits, State
from plugmux.runtime.process.limits import MIB
from support.docker import Docker
from support.programs import kv_program, script


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    # Where the machine is busy, the stand-in takes as long to start as docker takes to remove a container.
    monkeypatch.setattr("plugmux.runners.container.REMOVAL_TIME", 120)
    return Docker.install(tmp_path / "docker", monkeypatch)


@pytest.fixture(autouse=True)
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory in which sockets are made: one of a short name, as paths of sockets have few bytes.

    `tmp_path` is asked for first, so that it is not made in there.
    """
    with tempfile.TemporaryDirectory(prefix="s") as directory:
        monkeypatch.setenv("TMPDIR", directory)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(directory)


def in_container(tmp_path: Path, source: str | None = None, **options: Any) -> Launch:
    program = kv_program(tmp_path) if source is None else script(tmp_path, "kv", source)
    return Launch([program], runner=ContainerRunner("kv-image"), timeout=120, **options)


async def test_a_plugin_in_a_container_is_called_and_ends_in_order(
    tmp_path: Path, docker: Docker, sockets: Path
) -> None:
    async with Runtime([in_container(tmp_path)]) as runtime:
        plugin = runtime.plugin("kv")
        assert (plugin.state, plugin.version, plugin.pid) == (State.RUNNING, "v1.2.3", None)
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value
        (asked,) = docker.asked
        assert asked[:2] == ["run", "--rm"]
        assert len(docker.running) == 1
    assert docker.running == []
    assert [words[0] for words in docker.asked] == ["run"]
    assert list(sockets.iterdir()) == []


async def test_only_what_the_launch_sets_passes_and_no_value_can_be_seen(
    tmp_path: Path, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "C.UTF-8")
    launch = in_container(tmp_path, env={"PASSWORD": "hunter2\n", "ABSENT": None}, cwd=tmp_path)
    async with Runtime([launch]) as runtime:
        kv = runtime.client(KeyValueClient)
        assert (await kv.get(GetRequest(key="env PASSWORD"))).value == b"hunter2\n"
        assert (await kv.get(GetRequest(key="env LANG"))).value == b""
        trusted = (await kv.get(GetRequest(key="env PLUGMUX_PEER_USERS"))).value
        assert trusted == f"{os.geteuid()},65534".encode()
    assert "hunter2" not in str(docker.asked)


async def test_what_the_launch_sets_does_not_change_how_the_engine_is_found(tmp_path: Path, docker: Docker) -> None:
    ours = {"HOME": "/nowhere", "PATH": f"/nowhere{os.pathsep}{os.environ['PATH']}"}
    async with Runtime([in_container(tmp_path, env=ours)]) as runtime:
        kv = runtime.client(KeyValueClient)
        for name, value in ours.items():
            assert (await kv.get(GetRequest(key=f"env {name}"))).value == value.encode()
    (environment,) = docker.environments
    assert {name: environment[name] for name in ours} == {name: os.environ[name] for name in ours}


async def test_options_limits_and_an_image_with_a_command_of_its_own(tmp_path: Path, docker: Docker) -> None:
    program = kv_program(tmp_path)
    launch = Launch(
        [],
        name="kv",
        timeout=120,
        runner=ContainerRunner(program, options=["--network=none"]),
        limits=Limits(memory=512 * MIB, cpu=20, files=64, processes=10),
    )
    async with Runtime([launch]) as runtime:
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value
    (asked,) = docker.asked
    assert asked[-7:] == [
        "--memory=536870912",
        "--memory-swap=536870912",
        "--ulimit=cpu=20:21",
        "--ulimit=nofile=64:64",
        "--pids-limit=10",
        "--network=none",
        program,
    ]


async def test_a_plugin_that_ends_by_itself_is_told_with_its_status(tmp_path: Path, docker: Docker) -> None:
    async with Runtime([in_container(tmp_path, "import sys; sys.exit('no database')")]) as runtime:
        error = runtime.plugin("kv").error
        assert error is not None
        assert (error.cause, error.exit_code, error.stderr) == (PluginCause.EXITED, 1, "no database")


async def test_a_signal_that_ended_the_plugin_is_told(tmp_path: Path, docker: Docker) -> None:
    async with Runtime([in_container(tmp_path, "import os; os.kill(os.getpid(), 6)")]) as runtime:
        error = runtime.plugin("kv").error
        assert error is not None
        assert (error.exit_code, error.signal_number) == (None, signal.SIGABRT)


async def test_a_kill_is_told_as_the_memory_limit_where_there_is_one(tmp_path: Path, docker: Docker) -> None:
    launch = in_container(tmp_path, "import os; os.kill(os.getpid(), 9)", limits=Limits(memory=64 * MIB))
    async with Runtime([launch]) as runtime:
        error = runtime.plugin("kv").error
        assert error is not None
        assert error.cause is PluginCause.OVER_LIMIT
        assert "memory limit of 64 MiB" in error.detail


async def test_what_the_engine_itself_says_is_told(tmp_path: Path, docker: Docker) -> None:
    async with Runtime([Launch(["kv"], runner=ContainerRunner("absent"))]) as runtime:
        assert "no such image: absent" in str(runtime.plugin("kv").error)


async def test_an_engine_that_is_missing_is_told() -> None:
    async with Runtime([Launch(["kv"], runner=ContainerRunner("kv-image", engine="no-such-engine"))]) as runtime:
        error = runtime.plugin("kv").error
        assert error is not None
        assert error.cause is PluginCause.NOT_FOUND
        assert "'no-such-engine'" in str(error)


STUBBORN = """
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(OPTIONS["up"], "w").close()
    while True:
        signal.pause()
"""


async def test_a_container_that_does_not_end_is_removed_by_force(tmp_path: Path, docker: Docker) -> None:
    up = tmp_path / "up"
    program = script(tmp_path, "kv", STUBBORN, up=str(up))
    async with Runtime(policies=Policies(timeouts=Timeouts(terminate=0.2, kill=60))) as runtime:
        launch = Launch([program], runner=ContainerRunner("kv-image"), timeout=120)
        starting = asyncio.create_task(runtime.launch(launch))
        while not up.exists():
            await asyncio.sleep(0.01)
    assert docker.running == []
    assert [words[:2] for words in docker.asked] == [["run", "--rm"], ["rm", "--force"]]
    await asyncio.gather(starting, return_exceptions=True)


def words(pid: int) -> list[str]:
    """The command line of a process, empty when it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


async def test_a_container_whose_command_is_killed_is_removed(tmp_path: Path, docker: Docker) -> None:
    async with Runtime([in_container(tmp_path)]) as runtime:
        plugin = runtime.plugin("kv")
        (name,) = docker.running
        commands = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if f"--name={name}" in words(pid)]
        os.kill(commands[0], signal.SIGKILL)
        while plugin.state is State.RUNNING:
            await plugin.changed()
    assert ["rm", "--force", name] in docker.asked


HOST = """
import asyncio, sys
from plugmux import Launch, Runtime
from plugmux.runners import ContainerRunner

async def main():
    async with Runtime([Launch(sys.argv[1:], runner=ContainerRunner("kv-image"), timeout=120)]) as runtime:
        print(runtime.plugin("kv").state.value, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_container_ends_when_its_host_is_killed(tmp_path: Path, docker: Docker, sockets: Path) -> None:
    program = kv_program(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOST, program], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "running\n"
        assert len(docker.running) == 1
        host.kill()
    assert list(sockets.iterdir()) == []
    while docker.running:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("image", ["", "--privileged"])
def test_what_is_no_image_is_refused(image: str) -> None:
    with pytest.raises(ConfigError, match="not the name of an image"):
        ContainerRunner(image)


def test_a_launch_without_a_command_needs_a_runner_and_a_name() -> None:
    with pytest.raises(ConfigError, match="command is empty"):
        Launch([], name="kv")
    with pytest.raises(ConfigError, match="name"):
        Launch([], runner=ContainerRunner("kv-image"))
