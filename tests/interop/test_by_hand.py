"""A plugin in each language is started by hand, as its author is told to, and can be started again."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import Launch, PluginCause, Policies, Runtime, Timeouts
from plugmux.errors import StateError
from plugmux.runners.manual import by_hand as by_hand_sources
from plugmux.runtime import State
from support.tools import LANGUAGES, example_plugin

Told = list[str]


@pytest.fixture
def told() -> Iterator[Told]:
    """What the runtime says on its logger."""
    lines: Told = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]  # replaced to listen
    logger = logging.getLogger("plugmux.runtime")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def by_hand(told: str) -> subprocess.Popen[bytes]:
    """Do what the author is told, in a shell."""
    return subprocess.Popen(["/bin/sh", "-c", f"exec env {told.splitlines()[-1].strip()}"])


async def says(told: Told, count: int) -> str:
    while len(told) < count:
        await asyncio.sleep(0.01)
    return told[count - 1]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_that_is_started_by_hand_is_used_and_waited_for_again(language: str, told: Told) -> None:
    launch = Launch(example_plugin(language), name="kv", env={"PASSWORD": "hunter2"})
    runtime = Runtime(by_hand_sources([launch], ["kv"]))
    starting = asyncio.create_task(runtime.start())
    message = await says(told, 1)
    assert message.startswith("waiting for plugin kv: start it by hand")
    assert "PASSWORD" in message
    assert "hunter2" not in message
    assert shlex.join(example_plugin(language)) in message
    first = by_hand(message)
    await starting
    kv = runtime.client(KeyValueClient)
    await kv.put(PutRequest(key="a", value=b"1"), timeout=30)
    first.terminate()
    second = by_hand(await says(told, 2))
    await kv.put(PutRequest(key="a", value=b"2"), timeout=30)
    assert (await kv.get(GetRequest(key="a"), timeout=30)).value == b"2"
    assert runtime.plugin("kv").state is State.RUNNING
    await runtime.close()
    assert second.wait(30) == 0
    first.wait(30)


async def test_a_plugin_may_stand_still_before_it_registers(told: Told) -> None:
    async with asyncio.timeout(60):
        runtime = Runtime(
            [Launch.wait("kv", example_plugin("python"))], policies=Policies(timeouts=Timeouts(registration=0.1))
        )
        starting = asyncio.create_task(runtime.start())
        process = by_hand(await says(told, 1))
        os.kill(process.pid, signal.SIGSTOP)
        assert not (await asyncio.wait([starting], timeout=0.5))[0]
        os.kill(process.pid, signal.SIGCONT)
        await starting
        assert runtime.plugin("kv").state is State.RUNNING
        await runtime.close()
        process.wait(30)


async def test_a_runtime_that_closes_waits_no_longer(told: Told) -> None:
    runtime = Runtime(by_hand_sources([], ["kv"]))
    starting = asyncio.create_task(runtime.start())
    message = await says(told, 1)
    socket = re.search(r'"socket": "([^"]+)"', message)
    assert socket is not None
    assert os.path.exists(socket[1])
    await runtime.close()
    with pytest.raises(StateError, match="has been closed"):
        await starting
    assert not os.path.exists(socket[1])


async def test_a_socket_of_the_users_choice_is_the_same_each_time(told: Told, tmp_path: Path) -> None:
    path = tmp_path / "kv.sock"
    launch = Launch.wait("kv", example_plugin("python"), socket=path)
    runtime = Runtime([launch])
    starting = asyncio.create_task(runtime.start())
    process = by_hand(await says(told, 1))
    await starting
    process.terminate()
    assert told[0] == await says(told, 2)
    assert path.exists()
    await runtime.close()
    assert not path.exists()
    process.wait(30)


async def test_a_socket_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with Runtime([Launch.wait("kv", socket=tmp_path / "file")]) as runtime:
        error = runtime.plugin("kv").error
        assert error is not None
        assert error.cause is PluginCause.NOT_STARTED
        assert "is no socket" in str(error)


def test_plugmux_run_waits_for_a_plugin_and_says_how_to_start_it(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    command = [sys.executable, "-m", "plugmux.cli", "run", "--listen", address, "--wait", "kv"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as host:
        assert host.stderr is not None
        assert "waiting for plugin kv" in host.stderr.readline()
        variable = host.stderr.readline().strip()
        assert variable.endswith(" COMMAND")
        program = shlex.join(example_plugin("python"))
        with by_hand(variable.removesuffix("COMMAND") + program) as plugin:
            assert host.stderr.readline() == f"listening on {address}\n"
            host.terminate()
            assert plugin.wait(30) == 0
        assert host.wait(30) == 0
