"""Launch and shutdown, again and again, leave nothing behind."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Literal

import pytest
from kv.v1.kv_connect import AuditService

from plugmux import Launch, PluginCause, PluginError, Policies, Runtime, Timeouts
from plugmux.runtime import LocalRunner
from plugmux.runtime.logs.log import LogBook, PluginLog
from plugmux.runtime.process.local import LocalRun
from support.injection import raising_at
from support.resources import ProcessResources
from support.tools import faulty_plugin

ROUNDS = 25


@pytest.mark.timeout(300)
async def test_100_launches_and_shutdowns_leave_no_process_no_descriptor_and_no_task() -> None:
    plugins = [Launch(faulty_plugin("go"), name=f"go{number}", timeout=60) for number in range(4)]  # they start fast
    async with Runtime(plugins):
        pass
    before = ProcessResources.take()
    for _ in range(ROUNDS):
        async with Runtime(plugins, policies=Policies(timeouts=Timeouts(registration=60))) as runtime:
            assert [plugin.error for plugin in runtime.plugins()] == [None] * len(plugins)
    assert ProcessResources.take() == before


SLEEP = ("sleep", "1000")
ENOUGH = 15
"""More descriptors than a start needs."""


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Let this process have a number of further descriptors and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + ENOUGH, hard))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(2))
        for _ in range(count):
            os.close(taken.pop())
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def log() -> PluginLog:
    return LogBook().of("sleep")


async def nothing_beyond(before: ProcessResources) -> None:
    """Wait until there is no more than there was: pipes are closed at one of the loop's next turns."""
    async with asyncio.timeout(30):
        while ProcessResources.take() != before:
            await asyncio.sleep(0)


async def end(run: LocalRun) -> None:
    run.kill()
    await run.wait()


@pytest.mark.parametrize("link", ["socket", "pipes"])
async def test_a_start_without_enough_descriptors_fails_and_leaves_nothing(
    link: Literal["socket", "pipes"], log: PluginLog
) -> None:
    launch = Launch(SLEEP, link=link)
    await end(await LocalRunner().start(launch, 5.0, log))
    before = ProcessResources.take()
    errors = []
    for left in range(ENOUGH):
        try:
            with descriptors_left(left):
                await end(await LocalRunner().start(launch, 5.0, log))
        except PluginError as error:
            errors.append(error)
        await nothing_beyond(before)
    assert 0 < len(errors) < ENOUGH
    assert {error.cause for error in errors} == {PluginCause.NOT_STARTED}
    assert all("Too many open files" in str(error) for error in errors)


async def test_a_process_that_cannot_be_watched_is_not_left_to_run(
    monkeypatch: pytest.MonkeyPatch, log: PluginLog
) -> None:
    def pidfd_open(pid: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    before = ProcessResources.take()
    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    with pytest.raises(PluginError, match="Too many open files"):
        await LocalRunner().start(Launch(SLEEP), 5.0, log)
    await nothing_beyond(before)


async def test_a_start_that_is_cancelled_leaves_nothing(log: PluginLog) -> None:
    await end(await LocalRunner().start(Launch(SLEEP), 5.0, log))
    before = ProcessResources.take()
    for turns in count(1):
        starting = asyncio.create_task(LocalRunner().start(Launch(SLEEP), 5.0, log))
        for _ in range(turns):
            await asyncio.sleep(0)
        if starting.done():
            break
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        await nothing_beyond(before)
    await end(starting.result())
    assert turns > 1


BETWEEN_START_AND_LINK = ("runtime/process/local.py", "runtime/process/process.py", "runtime/registrar.py")
ONE_RUN = ("runtime/supervisor.py", "_run_once")


# An error that strikes as a generator or another object goes is dropped by Python, with a warning.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("link", ["socket", "pipes"])
async def test_an_error_at_any_step_between_start_and_link_leaves_nothing(link: Literal["socket", "pipes"]) -> None:
    launch = Launch(faulty_plugin("go"), name="go", link=link)

    async def launched(step: int) -> bool:
        async with Runtime() as runtime:
            with raising_at(step, MemoryError(), BETWEEN_START_AND_LINK, ONE_RUN) as raised, suppress(PluginError):
                await runtime.launch(launch)
        return raised()

    await launched(0)
    before = ProcessResources.take()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for step in count(1):
            struck = await launched(step)
            await nothing_beyond(before)
            if not struck:
                break
        gc.collect()
    assert step > 50
    assert not [str(warning.message) for warning in told if "never awaited" in str(warning.message)]


async def test_two_services_of_the_same_name_leave_no_process() -> None:
    async with Runtime(services=[AuditService(), AuditService()]) as runtime:
        before = ProcessResources.take()
        with pytest.raises(PluginError, match="AuditService"):
            await runtime.launch(Launch(faulty_plugin("go"), name="go"))
        await nothing_beyond(before)
