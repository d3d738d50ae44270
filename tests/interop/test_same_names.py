"""A user's protos may have the paths, packages and messages of plugmux's own, in hosts and plugins of each language."""

from __future__ import annotations

import sys

import pytest
from health.v1.health_connect import PulseClient
from health.v1.health_pb2 import GetVersionRequest
from plugins.v1 import plugins_pb2
from plugins.v1.plugins_connect import CatalogClient
from plugmux_proto.plugins.v1 import plugins_pb2 as own_plugins_pb2

from plugmux import Launch, Runtime
from support.tools import LANGUAGES, ROOT, go_build, npm_build, tool


def plugin_command(language: str) -> list[str]:
    """The plugin of a language, built."""
    if language == "python":
        return [sys.executable, str(ROOT / "tests/interop/same_names/plugin.py")]
    if language == "go":
        return [go_build("tests/interop/go", "./samenames", "samenames")]
    npm_build("ts", "tests/interop/ts")
    return [tool("node"), str(ROOT / "tests/interop/ts/dist/tests/interop/ts/src/samenames.js")]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_serves_protos_of_the_same_names(language: str) -> None:
    launch = Launch(plugin_command(language), name="shop", env={"PYTHONPATH": str(ROOT / "tests/interop/gen/python")})
    async with Runtime([launch]) as runtime:
        reply = await runtime.client(CatalogClient).list_plugins(plugins_pb2.ListPluginsRequest(shop="a"), timeout=60)
        beats = (await runtime.client(PulseClient).get_version(GetVersionRequest(patient="four"), timeout=60)).beats
    assert (reply.plugin.title, reply.plugin.since.seconds) == ("of a", 7)
    assert reply.plugin.status == plugins_pb2.RUN_STATUS_ASLEEP
    assert beats == 4


def test_messages_of_both_are_in_one_process() -> None:
    theirs, ours = plugins_pb2.DESCRIPTOR, own_plugins_pb2.DESCRIPTOR
    assert theirs.name == ours.name == "plugins/v1/plugins.proto"
    assert theirs.pool is not ours.pool
    assert "CatalogService" in theirs.services_by_name
    assert "RegisterService" in ours.services_by_name
