"""Instances and lent objects of plugins in each language: one process, many regions, and callbacks both ways."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from cloud.v1.cloud_connect import FileClient, StorageClient
from cloud.v1.cloud_pb2 import (
    CopyRequest,
    OpenRequest,
    ReadRequest,
    UploadRequest,
)

from plugmux import Launch, Runtime
from plugmux.connect import Code, RpcError
from plugmux.link.remote import RemoteObject
from plugmux.runtime import BadConfiguration
from support.cloud import Progress, cloud_command
from support.resources import resident_bytes
from support.tools import LANGUAGES, ROOT, tool

pytestmark = pytest.mark.timeout(300)

shared = pytest.mark.asyncio(loop_scope="module")
"""For tests that use the runtime of the module."""

NOT_KNOWN = "the reference is not known on this link: it has been released, or is of another link"


def launch(language: str) -> Launch:
    return Launch(cloud_command(language), name=language, timeout=60)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime() -> AsyncIterator[Runtime]:
    """A plugin in each language, for the tests that leave them as they found them."""
    async with Runtime([launch(language) for language in LANGUAGES]) as runtime:
        yield runtime


@asynccontextmanager
async def region(runtime: Runtime, language: str, name: str = "eu", **more: Any) -> AsyncIterator[RemoteObject]:
    async with await runtime.open_instance(language, {"region": name, **more}, timeout=60) as opened:
        yield opened


async def fails(call: Any, code: Code, told: str) -> None:
    with pytest.raises(RpcError) as caught:
        await call
    assert caught.value.code is code
    assert told in caught.value.message


@shared
@pytest.mark.parametrize("language", LANGUAGES)
async def test_two_regions_live_in_one_process_and_know_nothing_of_each_other(runtime: Runtime, language: str) -> None:
    async with (
        region(runtime, language, "eu", quota=10) as eu,
        region(runtime, language, "us") as us,
    ):
        frankfurt, ohio = eu.client(StorageClient), us.client(StorageClient)
        assert (await frankfurt.upload(UploadRequest(name="a", content=b"12345"))).address == "eu/a"
        assert (await ohio.upload(UploadRequest(name="b", content=b"1234567890ab"))).address == "us/b"
        await fails(frankfurt.open(OpenRequest(name="b")), Code.NOT_FOUND, "")
        await fails(frankfurt.upload(UploadRequest(name="c", content=b"123456")), Code.RESOURCE_EXHAUSTED, "10")
        await eu.release()
        await fails(frankfurt.open(OpenRequest(name="a")), Code.NOT_FOUND, NOT_KNOWN)
        assert (await ohio.upload(UploadRequest(name="c"))).address == "us/c"
        assert len(runtime.plugins()) == len(LANGUAGES)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "of an instance of plugin '{}' is bad at /: it needs 'region'"),
    ({"region": 1}, "of an instance of plugin '{}' is bad at /region: it must be of the type string"),
    ({"region": "eu", "quotum": 1}, "of an instance of plugin '{}' is bad at /quotum: the key is not known"),
]


@shared
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_bad_configuration_opens_nothing_and_hurts_nobody(runtime: Runtime, language: str) -> None:
    async with region(runtime, language) as eu:
        for configuration, told in BAD:
            with pytest.raises(BadConfiguration, match=told.format(language)):
                await runtime.open_instance(language, configuration)
        with pytest.raises(BadConfiguration, match="region"):
            await runtime.open_instance(language, {"region": ""})
        assert (await eu.client(StorageClient).upload(UploadRequest(name="a"))).address == "eu/a"


@shared
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_calls_back_by_a_reference_in_the_request(runtime: Runtime, language: str) -> None:
    progress = Progress()
    async with region(runtime, language) as eu:
        storage = eu.client(StorageClient)
        async with runtime.lend(progress, to=language) as reference:
            await storage.upload(UploadRequest(name="a", progress=reference))
        assert progress.reports == [0, 50, 100]
        await fails(storage.upload(UploadRequest(name="a", progress=reference)), Code.NOT_FOUND, NOT_KNOWN)
        assert progress.reports == [0, 50, 100]


@shared
@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_host_borrows_an_object_of_a_plugins(runtime: Runtime, language: str) -> None:
    async with region(runtime, language) as eu:
        await eu.client(StorageClient).upload(UploadRequest(name="a", content=b"text"))
        async with eu.borrow((await eu.client(StorageClient).open(OpenRequest(name="a"))).file) as file:
            assert (await file.client(FileClient).read(ReadRequest())).content == b"text"
        await fails(file.client(FileClient).read(ReadRequest()), Code.NOT_FOUND, NOT_KNOWN)
        await file.release()
        unknown = runtime.borrow("0" * 32, of=language)
        await fails(unknown.client(FileClient).read(ReadRequest()), Code.NOT_FOUND, NOT_KNOWN)


@shared
@pytest.mark.parametrize("target", LANGUAGES)
@pytest.mark.parametrize("source", LANGUAGES)
async def test_a_plugin_calls_an_object_of_another_plugins_through_the_host(
    runtime: Runtime, source: str, target: str
) -> None:
    async with region(runtime, source, "near") as near, region(runtime, target, "far") as far:
        await near.client(StorageClient).upload(UploadRequest(name="a", content=b"text" * 10_000))
        async with runtime.lend(far, to=source) as reference:
            copied = await near.client(StorageClient).copy(CopyRequest(name="a", to=reference))
        assert copied.address == "far/a"
        async with far.borrow((await far.client(StorageClient).open(OpenRequest(name="a"))).file) as file:
            assert (await file.client(FileClient).read(ReadRequest())).content == b"text" * 10_000
        gone = near.client(StorageClient).copy(CopyRequest(name="a", to=reference))
        await fails(gone, Code.NOT_FOUND, NOT_KNOWN)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_instance_ends_with_its_process_and_says_so(language: str) -> None:
    async with Runtime([launch(language)]) as runtime, region(runtime, language) as eu:
        await runtime.restart(language)
        await fails(eu.client(StorageClient).upload(UploadRequest(name="a")), Code.UNAVAILABLE, f"plugin {language!r}")
        async with region(runtime, language) as again:
            assert (await again.client(StorageClient).upload(UploadRequest(name="a"))).address == "eu/a"


COUNT = 200
AT_ONCE = 20
CONTENT = bytes(160 * 1024)
SLACK = COUNT * len(CONTENT) * 9 // 10
"""What a process may sway by, in bytes: less than what each further round would leave, if files were kept."""


@pytest.mark.parametrize("language", LANGUAGES)
async def test_hundreds_of_instances_and_references_leave_no_memory_behind(language: str) -> None:
    async with Runtime([_measured(language)]) as runtime:
        plugin = runtime.plugin(language)
        await _use_and_release(runtime, language)
        before, known = await _kept(runtime, language), _objects()
        await _use_and_release(runtime, language)
        assert _objects() - known < 2 * COUNT  # An instance that was kept would be several.
        assert plugin.link is not None
        assert len(plugin.link.references) == 0
        for _ in range(6):  # An allocator takes its time; what leaks only ever grows.
            if await _kept(runtime, language) - before < SLACK:
                return
            await _use_and_release(runtime, language)
        assert await _kept(runtime, language) - before < SLACK


def _measured(language: str) -> Launch:
    """The plugin; in TypeScript, with a collector of garbage that can be asked to collect."""
    if language != "ts":
        return launch(language)
    node = [tool("node"), "--expose-gc", "--require", str(ROOT / "tests/support/collect.cjs")]
    return Launch([*node, *cloud_command(language)], name=language, timeout=60)


async def _kept(runtime: Runtime, language: str) -> int:
    """The memory of a plugin's process, in bytes: what is resident, but for V8, which collects as late as it can.

    There it is what a collection leaves.
    """
    pid = runtime.plugin(language).pid
    assert pid is not None
    if language != "ts":
        return resident_bytes(pid)
    told = len(_told(runtime))
    os.kill(pid, signal.SIGUSR2)
    async with asyncio.timeout(30):
        while len(_told(runtime)) == told:
            await asyncio.sleep(0.01)
    return _told(runtime)[-1]


def _told(runtime: Runtime) -> list[int]:
    said = (re.fullmatch(r"(\d+) bytes are alive", entry.message) for entry in runtime.logs("ts"))
    return [int(match[1]) for match in said if match]


async def _use_and_release(runtime: Runtime, language: str) -> None:
    """Open instances, let each call back by a reference of its own, and release them all."""
    progress = Progress()
    opened: list[RemoteObject] = []

    async def open_one() -> None:
        opened.append(await runtime.open_instance(language, {"region": "eu"}, timeout=60))

    async def use(instance: RemoteObject) -> None:
        async with runtime.lend(progress, to=language) as reference:
            await instance.client(StorageClient).upload(
                UploadRequest(name="a", content=CONTENT, progress=reference), timeout=60
            )
        await instance.release()

    for _ in range(0, COUNT, AT_ONCE):
        await asyncio.gather(*(open_one() for _ in range(AT_ONCE)))
    for start in range(0, COUNT, AT_ONCE):
        await asyncio.gather(*(use(instance) for instance in opened[start : start + AT_ONCE]))
    assert Counter(progress.reports) == {0: COUNT, 50: COUNT, 100: COUNT}


def _objects() -> int:
    """The containers that this process holds."""
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_runs(language: str) -> None:
    host = [sys.executable, str(ROOT / "examples/cloud/regions.py")]
    done = subprocess.run([*host, *cloud_command(language)], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == [
        "uploaded 0 %",
        "uploaded 50 %",
        "uploaded 100 %",
        "kept at frankfurt/greeting",
        "copied to ohio/greeting",
        "it reads: hello from Frankfurt",
    ], done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_started_by_hand_it_names_what_its_instances_serve(language: str) -> None:
    done = subprocess.run(cloud_command(language), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "It serves: cloud.v1.StorageService (instances)." in done.stderr
