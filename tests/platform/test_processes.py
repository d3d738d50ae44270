"""Processes, watched in each way that this system has, and in the one that every system has: by a thread that waits."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from plugmux.platform import ExitStatus, Program, open_process, start_child
from plugmux.platform.posix import handle
from plugmux.platform.posix.child import PosixChild
from plugmux.platform.posix.handle import ThreadHandle
from support.resources import ProcessResources, alive, gone

WAYS = list(dict.fromkeys([handle.best_handle(), *([ThreadHandle] if hasattr(os, "waitid") else [])]))
"""The best of this system, and the one of every system that has waitid: Python has it on macOS since 3.13."""


@pytest.fixture(autouse=True, params=WAYS, ids=lambda way: str(way.__name__))
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[handle.PosixHandle]:
    """The way in which every process of the test is watched."""
    chosen: type[handle.PosixHandle] = request.param
    monkeypatch.setattr(handle, "best_handle", lambda: chosen)
    return chosen


def start(code: str, *, lead: bool = True) -> PosixChild:
    return start_child(Program(sys.executable, ["-c", code], {}), {}, lead=lead)


async def end_of(child: PosixChild) -> ExitStatus | None:
    ended = asyncio.Event()
    child.on_exit(ended.set)
    await ended.wait()
    with closing(child):
        return child.collect()


def test_each_way_is_taken(way: type[handle.PosixHandle]) -> None:
    with closing(open_process(os.getpid())) as process:
        assert type(process) is way


@pytest.mark.parametrize("lead", [True, False])
async def test_the_exit_status_is_told(lead: bool) -> None:
    status = await end_of(start("raise SystemExit(7)", lead=lead))
    assert status is not None
    assert (status.code, status.signal_number) == (7, None)
    assert status.memory > 1024 * 1024
    assert status.cpu > 0


async def test_the_signal_is_told_that_ended_it() -> None:
    child = start("import time; time.sleep(100)")
    child.kill()
    status = await end_of(child)
    assert status is not None
    assert (status.code, status.signal_number) == (None, signal.SIGKILL)


async def test_an_end_that_came_before_anybody_asked_is_told() -> None:
    child = start("")
    while alive(child.pid):
        await asyncio.sleep(0.005)
    status = await end_of(child)
    assert status is not None
    assert status.code == 0


async def test_what_is_left_of_a_tree_ends_when_its_leader_is_collected() -> None:
    read, write = os.pipe()
    code = "import subprocess, os; print(subprocess.Popen(['sleep', '100'], stdout=subprocess.DEVNULL).pid)"
    child = start_child(Program(sys.executable, ["-c", code], dict(os.environ)), {1: write})
    os.close(write)
    with os.fdopen(read) as output:
        grandchild = int(await asyncio.to_thread(output.readline))
        status = await end_of(child)
    assert status is not None
    assert status.code == 0
    await gone(grandchild)


async def test_nothing_is_hit_when_it_has_been_collected() -> None:
    child = start("")
    await end_of(child)
    child.terminate()
    child.kill()
    child.diagnose()
    child.close()


async def test_a_child_that_somebody_else_has_collected_is_told_as_such() -> None:
    child = start("")
    os.waitpid(child.pid, 0)
    assert await end_of(child) is None


async def test_a_process_that_is_no_child_is_watched(tmp_path: Path) -> None:
    command = f"sleep 100 & echo $! > {tmp_path}/pid"
    await asyncio.to_thread(subprocess.run, ["sh", "-c", command], check=True)
    pid = int((tmp_path / "pid").read_text())
    ended = asyncio.Event()
    with closing(open_process(pid)) as process:
        process.on_exit(ended.set)
        waiting = asyncio.create_task(asyncio.to_thread(process.wait))
        process.send_signal(signal.SIGKILL)
        await ended.wait()
        await waiting
    assert not alive(pid)


def test_a_process_that_is_not_there_cannot_be_watched() -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    with pytest.raises(ProcessLookupError):
        open_process(done.pid)


async def test_a_handle_that_is_closed_tells_nothing() -> None:
    told: list[int] = []
    child = start("")
    watched, other = open_process(child.pid), open_process(child.pid)
    watched.on_exit(lambda: told.append(1))
    watched.close()
    watched.close()
    done = asyncio.Event()
    other.on_exit(done.set)
    await done.wait()
    await end_of(child)
    other.close()
    assert told == []


async def test_nothing_is_left_of_a_child_that_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ProcessResources.take()
    started: list[int] = []

    def fail(pid: int) -> Callable[[], None]:
        started.append(pid)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("plugmux.platform.posix.child.open_process", fail)
    with pytest.raises(OSError, match="Too many"):
        start("import time; time.sleep(100)")
    assert not alive(started[0])
    assert ProcessResources.take() == before
