"""How plugins are started and what they may use, in each language."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import Launch, PluginCause, PluginError, RestartPolicy, Runtime
from plugmux.connect import RpcError
from plugmux.runners import ContainerRunner
from plugmux.runtime import Limits
from plugmux.runtime.process.limits import MIB
from support.docker import Docker
from support.tools import LANGUAGES, example_plugin

NEVER = RestartPolicy(tries=0)
SOME = Limits(memory=1024 * MIB, cpu=60, files=128, processes=1)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_in_a_container_is_called(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = Docker.install(tmp_path / "docker", monkeypatch)
    launch = Launch(example_plugin(language), name="kv", runner=ContainerRunner("kv-image"), timeout=30)
    async with Runtime([launch]) as runtime:
        await runtime.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))
        assert len(docker.running) == 1
    assert docker.running == []
    assert [words[0] for words in docker.asked] == ["run"]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_works_within_limits(language: str) -> None:
    async with Runtime([Launch(example_plugin(language), name="kv", limits=SOME, timeout=30)]) as runtime:
        kv = runtime.client(KeyValueClient)
        await kv.put(PutRequest(key="a", value=b"1"))
        assert (await kv.get(GetRequest(key="a"))).value == b"1"


async def fill(runtime: Runtime, keys: int) -> PluginError:
    """Give the plugin more and more to keep and to do until it ends, and return why it did."""
    plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
    number = 0
    while plugin.error is None:
        number += 1
        try:
            await kv.put(PutRequest(key=str(number % keys), value=bytes(MIB)))
        except RpcError:
            if plugin.ready:
                continue  # The plugin refused this one, and works on.
            break
    while plugin.error is None:
        await plugin.changed()
    return plugin.error


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_cpu_limit_holds_and_is_told(language: str) -> None:
    launch = Launch(example_plugin(language), name="kv", limits=Limits(cpu=1), restart=NEVER, timeout=30)
    async with Runtime([launch]) as runtime:
        error = await fill(runtime, keys=1)
        assert error.cause is PluginCause.OVER_LIMIT
        assert re.search(r"ended by SIG(XCPU|KILL) .*: it used more than its CPU limit of 1 s", error.detail)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_memory_limit_holds_and_is_told(language: str) -> None:
    limits = Limits(memory=256 * MIB)
    launch = Launch(example_plugin(language), name="kv", limits=limits, restart=NEVER, timeout=30)
    async with Runtime([launch]) as runtime:
        kv = runtime.client(KeyValueClient)
        refused: RpcError | None = None
        for number in range(400):
            try:
                await kv.put(PutRequest(key=str(number), value=bytes(MIB)))
            except RpcError as error:
                refused = error
                break
        assert refused is not None
        assert re.search("memory limit of 256 MiB|the handler ran out of memory", str(refused)), refused


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_limit_of_processes_holds_and_is_told(language: str) -> None:
    with_another = ["sh", "-c", f"sleep 3600 & exec {shlex.join(example_plugin(language))}"]
    launch = Launch(with_another, name="kv", limits=Limits(processes=1), restart=NEVER, timeout=30)
    async with Runtime([launch]) as runtime:
        plugin = runtime.plugin("kv")
        while plugin.error is None:
            await plugin.changed()
        assert plugin.error.cause is PluginCause.OVER_LIMIT
        assert "it had 2 processes, over its limit of 1" in plugin.error.detail
