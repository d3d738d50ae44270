"""Plugins in each language are given their configuration before they serve, and take its changes."""

from __future__ import annotations

from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, PluginCause, PluginError, Runtime
from plugmux.runtime import BadConfiguration
from support.configured import configured_command
from support.tools import LANGUAGES

EU = {"region": "eu"}


def launch(language: str, *arguments: str) -> Launch:
    return Launch([*configured_command(language), *arguments], name="kv", timeout=30)


async def said(runtime: Runtime) -> str:
    return (await runtime.client(KeyValueClient).get(GetRequest(), timeout=30)).value.decode()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_has_its_configuration_before_it_serves_and_takes_a_change(language: str) -> None:
    async with Runtime([launch(language)], configuration={"kv": EU}) as runtime:
        pid = runtime.plugin("kv").pid
        assert await said(runtime) == "hello, region eu, protocol 1"
        await runtime.configure("kv", {"region": "us", "greeting": "howdy"})
        assert await said(runtime) == "howdy, region us, protocol 1"
        with pytest.raises(BadConfiguration, match=r"of plugin 'kv' is bad at /region: it must be of the type string"):
            await runtime.configure("kv", {"region": 3})
        with pytest.raises(PluginError, match="no such greeting") as caught:
            await runtime.configure("kv", {"region": "us", "greeting": "forbidden"})
        assert caught.value.cause is PluginCause.BAD_CONFIGURATION
        assert await said(runtime) == "howdy, region us, protocol 1"
        assert runtime.plugin("kv").pid == pid
        await runtime.restart("kv")
        assert await said(runtime) == "howdy, region us, protocol 1"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_that_takes_no_change_is_replaced(language: str) -> None:
    async with Runtime([launch(language, "fixed")], configuration={"kv": EU}) as runtime:
        pid = runtime.plugin("kv").pid
        await runtime.configure("kv", {"region": "us"})
        assert await said(runtime) == "hello, region us, protocol 1"
        assert runtime.plugin("kv").pid != pid


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "bad at /: it needs 'region'"),
    ({"kv": {"region": 1}}, "bad at /region: it must be of the type string"),
    ({"kv": {"region": "eu", "regoin": 1}}, "bad at /regoin: the key is not known"),
]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("configuration", "told"), BAD)
async def test_a_bad_configuration_is_named_by_its_path(
    language: str, configuration: dict[str, Any], told: str
) -> None:
    async with Runtime([launch(language)], configuration=configuration) as runtime:
        assert told in str(runtime.plugin("kv").error)
